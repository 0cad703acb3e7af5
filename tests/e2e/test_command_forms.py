"""Every form the command takes: single stages, chains, lists, sweeps, files, own components, earlier runs."""

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import burnish.platform

LAST_STEP = {"sft": 12, "rl": 6, "sft_2": 3}

MY_MODULE = '''
from dataclasses import dataclass
from typing import Any

from burnish.platform.configuration.slot_fields import slot
from burnish.sample.testing import InterferingEngine


@dataclass(frozen=True, kw_only=True)
class MyEngine:
    """The in-process engine, and a line for each time it is asked."""

    inner: Any = slot("engine", "in_process")
    log: str

    def build(self, context):
        return InterferingEngine(inner=self.inner.build(context), look=self.note)

    def note(self, requests):
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{len(requests)}\\n")
'''


def rows_of(run: Path, stage: str) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["stage"] == stage]


def completions_of(run: Path, stage: str, step: int) -> dict[int, str]:
    """What the model answered to each held-out problem at one evaluation."""
    lines = (run / "samples/eval.jsonl").read_text().splitlines()
    samples = [s for s in map(json.loads, lines) if (s["stage"], s["step"]) == (stage, step)]
    return {sample["problem"]: sample["completion"] for sample in samples}


def without(words: list[str], *prefixes: str) -> list[str]:
    return [word for word in words if not word.startswith(prefixes)]


def plain_directory(export: Path, directory: Path) -> Path:
    """An export without our manifest: what `save_pretrained` of another library leaves."""
    shutil.copytree(export, directory, ignore=shutil.ignore_patterns("manifest.json"))
    return directory


@pytest.fixture(scope="module")
def earlier(make_train, tmp_path_factory, short) -> Path:
    """A run of three blocks, one stage of which comes twice."""
    train = make_train(tmp_path_factory.mktemp("earlier"))
    second = ["stages.sft_2.steps=3", "stages.sft_2.rows_per_step=8"]
    finished = train(*short, "stage=sft+rl+sft", *second, "run.name=e")
    assert finished.returncode == 0, finished.stderr
    return train.output / "e"


def test_chain_with_a_repeated_stage_runs_each_block_with_its_own_options(earlier):
    assert [path.name for path in sorted((earlier / "stages").iterdir())] == ["1-sft", "2-rl", "3-sft_2"]
    assert {stage: rows_of(earlier, stage)[-1]["step"] for stage in LAST_STEP} == LAST_STEP
    summary = json.loads((earlier / "summary.json").read_text())
    assert list(summary) == ["initial", *LAST_STEP]


@pytest.mark.parametrize(("before", "after"), [*pairwise(LAST_STEP)])
def test_first_evaluation_of_a_stage_equals_the_last_of_the_one_before(earlier, before, after):
    last = completions_of(earlier, before, LAST_STEP[before])
    assert len(last) == 16
    assert completions_of(earlier, after, 0) == last
    for metric in ("eval/accuracy", "eval/completion_tokens"):
        assert rows_of(earlier, after)[0][metric] == rows_of(earlier, before)[-1][metric]


def test_twin_other_weights_answer_otherwise(earlier):
    assert completions_of(earlier, "sft", 0) != completions_of(earlier, "sft", LAST_STEP["sft"])


def test_rl_starts_from_a_directory_an_export_a_checkpoint_and_a_run(train, short, earlier, tmp_path):
    """One sweep: each job evaluates first what its source evaluated last."""
    directory = plain_directory(earlier / "stages/1-sft/export", tmp_path / "plain")
    sources = {
        directory: "sft",
        earlier / "stages/1-sft/export": "sft",
        earlier / "stages/2-rl/checkpoints/step_6": "rl",
        earlier: "sft_2",
    }
    swept = train(
        *without(short, "stages.sft", "stages.rl.steps"),
        "stage=rl",
        "model=pretrained",
        "model.name_or_path=" + ",".join(map(str, sources)),
        "stages.rl.steps=1",
        "stages.rl.max_new_tokens=12",
        "evaluation.max_new_tokens=12",
        "run.name=r",
        "-m",
    )
    assert swept.returncode == 0, swept.stderr
    names = ["r-0", "r-1", "r-2", "r-3"]
    assert sorted(path.name for path in train.output.iterdir()) == [*names, "sweeps"]
    for name, (source, stage) in zip(names, sources.items(), strict=True):
        recorded = yaml.safe_load((train.output / name / "config.yaml").read_text())
        assert recorded["model"]["name_or_path"] == str(source)
        started = completions_of(train.output / name, "rl", 0)
        assert started == completions_of(earlier, stage, LAST_STEP[stage])
        assert len(rows_of(train.output / name, "rl")) == 2


def test_sweep_over_chains_goes_through_each_of_them_and_a_dry_run_writes_nothing(train, short):
    words = without(short, "stages.rl.")
    swept = train(*words, "-m", "stage=sft,sft+rl", "--dry-run", "run.name=s")
    assert swept.returncode == 0, swept.stderr
    titles = [line.strip() for line in swept.stdout.splitlines() if line.startswith("stage ")]
    assert titles == ["stage sft", "stage sft", "stage rl"]
    for quantity in ("rows per update", "tokens per update", "memory of parameters and optimizer"):
        assert swept.stdout.count(quantity) == 3
    assert not train.output.exists()


def test_chain_as_a_list_equals_the_chain_with_plus_and_python_runs_it(
    make_train, short, tmp_path, monkeypatch
):
    fixed = make_train(tmp_path / "runs").fixed
    monkeypatch.chdir(tmp_path)
    words = [
        *short,
        *fixed,
        "run.name=p",
        "stages.sft.steps=2",
        "stages.rl.steps=1",
        "~sink@logging.sinks.console",
    ]
    as_list, with_plus = (
        burnish.platform.compose_config([chain, *words]) for chain in ("stage=[sft,rl]", "stage=sft+rl")
    )
    assert as_list == with_plus
    assert list(as_list.stages) == ["sft", "rl"]
    assert burnish.platform.run(["stage=[sft,rl]", *words], dry_run=True) is None
    assert list(tmp_path.iterdir()) == []
    result = burnish.platform.run(["stage=[sft,rl]", *words])
    assert result.directory == tmp_path / "runs/p"
    assert list(result.summary) == ["initial", "sft", "rl"]
    assert (result.artifacts.get("model") / "model.safetensors").is_file()
    assert json.loads((result.directory / "run.json").read_text())["overrides"] == ["stage=[sft,rl]", *words]


def test_new_labels_and_keys_mean_the_same_on_the_command_line_and_in_a_file(tmp_path):
    words = [
        "stages.rl.reward_weights={exact_match: 2.0}",
        "stages.rl.reward_weights.form=0.5",
        "stages.rl.rewards.form=format",
        "stages.rl.filters.u=uniform_reward",
        "evaluation.rewards.form=format",
        "logging.sinks.more=jsonl",
        "~sink@logging.sinks.tensorboard",
    ]
    (tmp_path / "my.yaml").write_text(
        "stages:\n  rl:\n    use: rl\n    reward_weights: {exact_match: 2.0, form: 0.5}\n"
        "    rewards: {form: format}\n    filters: {u: uniform_reward}\n"
        "evaluation: {rewards: {form: format}}\nlogging: {sinks: {more: jsonl}}\n"
    )
    typed = burnish.platform.compose_config(["stage=rl", *words])
    written = burnish.platform.compose_config([str(tmp_path / "my.yaml"), "~sink@logging.sinks.tensorboard"])
    assert typed.stages == written.stages
    assert typed.resolved["logging"] == written.resolved["logging"]
    assert typed.stages["rl"].reward_weights == {"exact_match": 2.0, "form": 0.5}
    assert list(typed.stages["rl"].rewards) == ["exact_match", "form"]
    assert list(typed.stages["rl"].filters) == ["u"]
    assert list(typed.shared["evaluation"].rewards) == ["exact_match", "form"]
    assert list(typed.logging.sinks) == ["jsonl", "console", "more"]


def test_a_file_with_an_engine_of_ones_own_module(train, tmp_path, monkeypatch):
    """The file says what to run; the command line has the last word."""
    (tmp_path / "my_module.py").write_text(MY_MODULE)
    (tmp_path / "my.yaml").write_text(
        "stages:\n  sft: {use: sft, steps: 5, rows_per_step: 4}\nrun: {name: mine}\n"
        "data: {use: arithmetic, num_problems: 2000, num_demonstrations: 64}\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    finished = train(
        str(tmp_path / "my.yaml"),
        "engine=my_module:MyEngine",
        f"engine.log={tmp_path / 'log'}",
        "engine.inner.slots=8",
        "evaluation.num_problems=8",
        "stages.sft.steps=2",
    )
    assert finished.returncode == 0, finished.stderr
    run = train.output / "mine"
    assert [row["step"] for row in rows_of(run, "sft")] == [0, 1, 2]
    assert (tmp_path / "log").read_text().splitlines() == ["8", "8"], "the evaluations of steps 0 and 2"
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    assert recorded["run"]["config_path"] == str(tmp_path / "my.yaml")
    assert recorded["engine"]["use"] == "my_module:MyEngine"
    assert recorded["engine"]["inner"] == {"use": "in_process", **recorded["engine"]["inner"], "slots": 8}
    assert recorded["stages"]["sft"]["rows_per_step"] == 4


@pytest.fixture
def gsm8k() -> Path:
    """The directory of the real files, where they are."""
    root = Path(__file__).parents[2]
    directory = Path(os.environ.get("BURNISH_DATA", root.parent / "shared" / "data")) / "gsm8k"
    if not directory.is_dir():
        pytest.skip(f"there is no '{directory}'; BURNISH_DATA names the directory that holds gsm8k/")
    return directory


def test_sft_on_gsm8k(train, gsm8k):
    """Real files with other field names, and answers inside of the completions."""
    finished = train(
        "stage=sft",
        "data=jsonl",
        f"data.path={gsm8k / 'train.jsonl'}",
        f"data.test_path={gsm8k / 'test.jsonl'}",
        "data.prompt_field=question",
        "data.completion_field=answer",
        "data.answer_pattern='#### (.+)'",
        "stages.sft.steps=3",
        "stages.sft.rows_per_step=2",
        "stages.sft.optimizer.schedule=constant",
        "evaluation.num_problems=4",
        "evaluation.max_new_tokens=8",
        "run.name=g",
    )
    assert finished.returncode == 0, finished.stderr
    rows = rows_of(train.output / "g", "sft")
    assert all(row["train/tokens"] > 0 for row in rows[1:])
    assert rows[3]["eval/accuracy"] == 0
    answers = {
        json.loads(line)["answer"]
        for line in (train.output / "g/samples/eval.jsonl").read_text().splitlines()
    }
    assert "18" in answers, "the answer of the first test problem, cut out of its completion"
