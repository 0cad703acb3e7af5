"""What a user can get wrong: one line (what, where, what is legal, what to do), status 2, and no harm done.

Most cases run in this process; one of each family is a process of its own.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.platform import cli
from burnish.platform.run_directory import RunDirectory

ONE_STAGE = [
    "stage=sft",
    "run.name=x",
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "evaluation.num_problems=4",
    "engine.slots=4",
    "stages.sft.steps=400",
    "stages.sft.rows_per_step=4",
    "checkpoint.save_every_steps=2",
    "~sink@logging.sinks.tensorboard",
    "~sink@logging.sinks.console",
]
OTHER_DATA = [word for word in ONE_STAGE if not word.startswith("data.")]


def tree_of(directory: Path) -> dict[str, str]:
    """Every file below with its digest; directories with a dash; a lock's content is whoever came last."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "-"
        for path in directory.rglob("*")
        if path.name != "lock"
    }


def only_line(status: int, out: str, err: str) -> str:
    """The line that a refused command says, and nothing else."""
    assert status == 2, err
    assert out == ""
    assert err.startswith("train: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err


@pytest.fixture
def command(make_train, tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run `train` in this process and in an empty directory: (status, stdout, stderr)."""
    fixed = make_train(tmp_path / "runs").fixed
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        own = [
            word for word in fixed if word.partition("=")[0] not in {each.partition("=")[0] for each in words}
        ]
        monkeypatch.setattr(sys, "argv", ["train", *words, *own])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.train()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture
def refused(command, tmp_path) -> Callable[..., str]:
    """Run `train`, see that it refuses and leaves everything as it was, and return what it says."""

    def call(*words: str) -> str:
        before = tree_of(tmp_path)
        line = only_line(*command(*words))
        assert tree_of(tmp_path) == before
        return line

    return call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("stage=stf", ["unknown stage 'stf' (did you mean 'sft'?)", "eval", "rl", "burnish-sft"]),
        ("stage=sft+", ["stage='sft+'", "write stage=a or stage=a+b"]),
        (
            "stage=sft engine=vllm",
            ["unknown engine 'vllm'", "in_process (burnish-sample", "package.module:Symbol"],
        ),
        ("stage=rl stages.rl.advantage=grop", ["unknown advantage 'grop'", "group_mean (burnish-rl"]),
        (
            "stage=rl +reward@stages.rl.rewards.x=exact",
            ["unknown reward 'exact' (did you mean 'exact_match'?)"],
        ),
        ("stage=sft engine=os:nothing", ["engine 'os:nothing'", "module 'os' has no 'nothing'"]),
        ("stage=sft engine=absent:X", ["engine 'absent:X' fails to import", "No module named 'absent'"]),
        (
            "stage=sft +experiment=contro",
            ["unknown experiment 'contro' (did you mean 'control'?)", "worked_only"],
        ),
        (
            "stage=sft stages.sft.stpes=3",
            ["stages.sft.stpes: unknown key (did you mean 'steps'?)", "rows_per_step"],
        ),
        (
            "stage=sft +stages.sft.stpes=3",
            ["stages.sft.stpes: unknown key (did you mean 'steps'?)", "rows_per_step"],
        ),
        ("stage=sft +nonsense=3", ["nonsense: unknown key", "legal keys: run, jax, checkpoint, logging"]),
        ("stage=sft +run.nmae=x", ["run.nmae: unknown key (did you mean 'name'?)"]),
        ("stage=sft stages.rl.steps=3", ["stages.rl: the chain has no such block", "it has sft"]),
        ("stage=sft +engine.slot=3", ["engine.slot: unknown key (did you mean 'slots'?)", "decode_steps"]),
        (
            "stage=sft +evaluation.rewards.exact_match.pattern=x",
            ["evaluation.rewards.exact_match.pattern: unknown key", "answer_pattern"],
        ),
        ("stage=rl +stages.rl.optimizer.lr=1", ["stages.rl.optimizer.lr: unknown key", "learning_rate"]),
        ("stage=sft stages.sft.steps=many", ["stages.sft.steps: expected a whole number, got 'many'"]),
        ("stage=sft stages.sft.steps=1.5", ["stages.sft.steps: expected a whole number, got 1.5"]),
        ("stage=sft stages.sft.steps=0", ["stages.sft", "steps=0 must be at least 1"]),
        (
            "stage=sft stages.sft.aggregation=mean",
            ["stages.sft.aggregation", "'mean'", "token_mean", "sequence_mean"],
        ),
        ("stage=sft jax.deterministic=perhaps", ["jax.deterministic", "'perhaps'", "true"]),
        ("stage=sft jax.mesh.dp=0", ["jax.mesh", "dp=0 must be 1 or more"]),
        ("stage=sft logging=loud", ["logging"]),
        ("stage=sft data=jsonl", ["data.path: a value is required; set data.path=..."]),
        ("absent.yaml", ["cannot read 'absent.yaml': there is no such file"]),
        (
            "stage=rl stages.rl.updates_per_rollout=5",
            ["stages.rl", "does not divide prompts_per_step=32", "[1, 2, 4"],
        ),
        ("stage=sft run.name=../outside", ["run: name='../outside'", "run.output_dir"]),
        ("stage=sft checkpoint.resume_from=latest", ["checkpoint.resume_from=latest", "set run.name="]),
        ("stage=sft checkpoint.resume_from=absent/step_2", ["checkpoint.resume_from", "absent/step_2"]),
        (
            "stage=sft checkpoint.resume_from=newest run.name=x",
            ["checkpoint.resume_from='newest'", "latest, best, or a path"],
        ),
        ("--dryrun", ["unknown flag '--dryrun' (did you mean '--dry-run'?)"]),
    ],
)
def test_a_config_that_is_not_legal_is_refused(refused, words, said):
    line = refused(*words.split(" "))
    for phrase in said:
        assert phrase in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage: {sft: {}}", ["stage"]),
        ("nonsense: 3", ["nonsense: unknown key", "legal keys"]),
        ("run: {nmae: x}", ["run.nmae", "unknown key", "'name'"]),
        ("stages: {sft: {use: sft, stpes: 3}}", ["stages.sft.stpes: unknown key (did you mean 'steps'?)"]),
        ("stages: {sft: {use: sft, steps: many}}", ["stages.sft.steps: expected a whole number"]),
        ("stages: {sft: {use: stf}}", ["unknown stage 'stf'"]),
        ("engine: {use: in_process, slot: 3}", ["engine.slot: unknown key (did you mean 'slots'?)"]),
        ("evaluation: {rewards: {a: {use: exact_match, key: x}}}", ["evaluation.rewards.a.key: unknown key"]),
        ("run: [", ["'my.yaml' is no YAML"]),
        ("- run", ["'my.yaml' holds no mapping"]),
    ],
)
def test_a_file_with_a_mistake_is_refused(refused, tmp_path, text, said):
    (tmp_path / "my.yaml").write_text(text)
    line = refused("my.yaml")
    for phrase in said:
        assert phrase in line


def test_a_preset_with_an_unknown_key_is_refused(refused, tmp_path):
    (tmp_path / "presets/experiment").mkdir(parents=True)
    (tmp_path / "presets/experiment/mine.yaml").write_text("# @package _global_\nstages: {sft: {stpes: 3}}\n")
    line = refused("--config-dir", str(tmp_path / "presets"), "stage=sft", "+experiment=mine")
    assert "stages.sft.stpes: unknown key (did you mean 'steps'?)" in line


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (None, [], ["'broken.jsonl' cannot be read: No such file"]),
        (["{}"], [], ["broken.jsonl:1: no field 'prompt'", "set data.prompt_field"]),
        (['{"prompt": "a", "completion": "b"}', "", '{"prompt": '], [], ["broken.jsonl:3: broken JSON"]),
        (['{"prompt": "a", "completion": "b"}', "[1]"], [], ["broken.jsonl:2: a line must be a JSON object"]),
        (
            ['{"prompt": "a long prompt", "completion": "b"}'],
            ["stages.sft.max_length=8"],
            ["stages.sft.data: record 0 has no supervised token", "raise stages.sft.max_length"],
        ),
        ([""], [], ["'broken.jsonl' is empty"]),
    ],
)
def test_data_that_cannot_be_used_is_refused(command, tmp_path, lines, options, said):
    if lines is not None:
        (tmp_path / "broken.jsonl").write_text("\n".join(lines))
    before = tree_of(tmp_path)
    line = only_line(*command(*OTHER_DATA, "data=jsonl", "data.path=broken.jsonl", *options))
    for phrase in said:
        assert phrase in line
    assert tree_of(tmp_path).items() >= before.items()
    assert json.loads((tmp_path / "runs/x/status.json").read_text())["phase"] == "refused"


def test_a_name_whose_run_was_refused_before_its_first_row_is_free(command, tmp_path):
    line = only_line(*command(*ONE_STAGE, "model=pretrained", "model.name_or_path=./absent"))
    assert "model.name_or_path='./absent' is no directory" in line
    status, _, err = command(*ONE_STAGE, "stages.sft.steps=1")
    assert status == 0, err
    assert len((tmp_path / "runs/x/metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "stages.sft.training.micro_batch_rows=3",
            ["stages.sft: training.micro_batch_rows=3 ", "1, 2, 4, all"],
        ),
        ("jax.mesh.dp=3", ["jax.mesh: dp=3", "must be one of 1"]),
    ],
)
def test_what_does_not_divide_is_refused_with_what_would(refused, words, said):
    line = refused(*ONE_STAGE, words)
    for phrase in said:
        assert phrase in line


def test_rl_of_a_chain_is_checked_before_sft_begins(refused, short):
    line = refused(*short, "stages.rl.training.micro_batch_rows=5")
    assert "stages.rl: training.micro_batch_rows=5 cannot divide a batch of 8 rows" in line


def test_rows_that_the_devices_do_not_divide_are_refused_with_what_would(train):
    words = train.command([*ONE_STAGE, "jax.mesh.dp=2", "stages.sft.rows_per_step=5"])
    env = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=600)
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert "a batch of 5 rows cannot be divided" in line
    assert "4 or 6 rows could" in line
    assert not train.output.exists()


def test_an_output_directory_that_cannot_be_written_is_refused(train, tmp_path):
    (tmp_path / "file").write_text("kept")
    words = [*ONE_STAGE, f"run.output_dir={tmp_path / 'file/below'}"]
    ended = subprocess.run(
        [train.command([])[0], *words], capture_output=True, text=True, check=False, timeout=600
    )
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert f"run.output_dir: cannot write to '{tmp_path / 'file/below/x'}': Not a directory" in line
    assert "set run.output_dir to a directory you can write to" in line
    assert (tmp_path / "file").read_text() == "kept"


def test_a_plugin_that_fails_to_import_is_named_with_its_distribution(train, tmp_path, monkeypatch):
    info = tmp_path / "site/burnish_bad-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: burnish-bad\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[burnish.engine]\nbad = burnish_bad:Bad\n")
    (tmp_path / "site/burnish_bad.py").write_text("raise OSError('libcuda.so is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    ended = train(*ONE_STAGE, "engine=bad")
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert (
        "engine 'bad' of burnish-bad 2.0 (burnish_bad:Bad) fails to import: OSError: libcuda.so is missing"
        in line
    )
    assert not train.output.exists()


@pytest.fixture(scope="module")
def stopped(make_train, tmp_path_factory) -> Path:
    """A run that a signal stopped after some checkpoints; copied by each test that damages it."""
    train = make_train(tmp_path_factory.mktemp("stopped"))
    process = train.start(*ONE_STAGE)
    metrics = train.output / "x/metrics.jsonl"
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < 7:
        assert process.poll() is None, train.printed()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 143, train.printed()
    return train.output / "x"


@pytest.fixture
def run(stopped, tmp_path) -> Path:
    return shutil.copytree(stopped, tmp_path / "runs/x")


def steps_of(run: Path) -> list[Path]:
    """The checkpoints of the run's first stage, the oldest first."""
    return sorted((run / "stages/1-sft/checkpoints").glob("step_*"), key=lambda path: int(path.name[5:]))


@pytest.mark.usefixtures("run")
def test_a_run_name_that_is_taken_is_refused(refused):
    line = refused(*ONE_STAGE)
    assert "run.name='x' exists" in line
    assert "checkpoint.resume_from=latest" in line
    assert "set another run.name" in line


@pytest.mark.usefixtures("run")
def test_another_config_is_refused_with_every_difference(refused):
    changed = ["stages.sft.rows_per_step=8", "stages.sft.optimizer.b1=0.5", "run.seed=3", "data.num_digits=4"]
    line = refused(*ONE_STAGE, *changed, "checkpoint.resume_from=latest")
    assert "run.name='x' began with another config" in line
    for difference in (
        "stages.sft.rows_per_step: 4 -> 8",
        "stages.sft.optimizer.b1: 0.9 -> 0.5",
        "run.seed: 0 -> 3",
        "data.num_digits: 5 -> 4",
    ):
        assert difference in line
    assert "take these back, or set another run.name" in line


@pytest.mark.usefixtures("run")
def test_best_without_a_metric_is_refused(refused):
    line = refused(*ONE_STAGE, "checkpoint.resume_from=best")
    assert "checkpoint.resume_from=best" in line
    assert "checkpoint.keep_best" in line
    assert "latest" in line


def test_a_checkpoint_of_another_run_is_refused(refused, run):
    source = steps_of(run)[-1]
    words = [word for word in ONE_STAGE if word != "run.name=x"]
    line = refused(*words, "run.name=y", f"checkpoint.resume_from={source}")
    assert f"'{source}' belongs to another run than run.name='y'" in line
    assert "model=pretrained model.name_or_path=" in line


def test_a_second_writer_is_refused_and_told_of_the_first(train, run):
    first = RunDirectory(run)
    first.acquire()
    try:
        before = tree_of(run)
        ended = train(*ONE_STAGE, "checkpoint.resume_from=latest")
    finally:
        first.release()
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert f"process {os.getpid()}" in line
    assert "run.name" in line
    assert tree_of(run) == before


def flip_a_byte(step: Path) -> str:
    file = max(
        (path for path in (step / "params").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return "is altered: its sha256 differs"


def truncate_a_file(step: Path) -> str:
    content = (step / "state.json").read_bytes()
    (step / "state.json").write_bytes(content[:-7])
    return f"the file 'state.json' is truncated: {len(content) - 7} bytes, recorded {len(content)}"


def tear_the_directory(step: Path) -> str:
    (step / "manifest.json").unlink()
    shutil.rmtree(step / "optimizer")
    return "is torn: it has no manifest.json"


@pytest.mark.parametrize("damage", [flip_a_byte, truncate_a_file, tear_the_directory])
def test_a_damaged_checkpoint_is_named_and_the_one_before_offered_and_taken(command, refused, run, damage):
    before, latest = steps_of(run)[-2:]
    said = damage(latest)
    line = refused(*ONE_STAGE, "checkpoint.resume_from=latest")
    assert f"checkpoint of step {latest.name[5:]}: '{latest}" in line
    assert said in line
    offer = re.search(r"checkpoint\.resume_from=\S+", line)
    assert offer is not None
    assert offer[0].endswith(before.name)
    last = int(latest.name[5:]) + 1
    status, _, err = command(*ONE_STAGE, f"stages.sft.steps={last}", offer[0])
    assert status == 0, err
    rows = [json.loads(each)["step"] for each in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(last + 1))


def test_twin_an_undamaged_checkpoint_is_taken(command, run):
    last = int(steps_of(run)[-1].name[5:]) + 1
    status, _, err = command(*ONE_STAGE, f"stages.sft.steps={last}", "checkpoint.resume_from=latest")
    assert status == 0, err
