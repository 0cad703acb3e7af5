import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL_EVALUATION = (
    *("evaluation.num_problems=8", "engine.slots=32", "engine.prefill_rows=8"),
    *("run.name=trial", "checkpoint.save_every_steps=0"),
)
SMALL_SFT = ("stages.sft.steps=2", "stages.sft.rows_per_step=4", "stages.sft.optimizer.warmup_steps=0")
SMALL_RL = (
    *("stages.rl.steps=2", "stages.rl.prompts_per_step=2", "stages.rl.samples_per_prompt=4"),
    "stages.rl.updates_per_rollout=1",
)


def last_row(directory: Path, stage: str) -> dict[str, float]:
    text = (directory / "runs" / "trial" / "metrics.jsonl").read_text(encoding="utf-8")
    return [row for row in map(json.loads, text.splitlines()) if row["stage"] == stage][-1]


def shown(done) -> str:
    return f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def assert_one_line(done, *words: str) -> None:
    """Hold a refusal to one line on stderr, exit status 2 and no run directory."""
    assert done.returncode == 2, shown(done)
    assert len(done.stderr.splitlines()) == 1, shown(done)
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("distribution", "modules"),
    [
        ("burnish-platform", {"platform"}),
        ("burnish-llm", {"platform", "llm"}),
        ("burnish-sample", {"platform", "llm", "sample"}),
        ("burnish-sft", {"platform", "llm", "sample", "sft"}),
        ("burnish-rl", {"platform", "llm", "sample", "rl"}),
    ],
)
def test_subset_brings_what_it_declares_and_no_more(environment, tmp_path, distribution, modules):
    installed = environment(distribution)

    assert installed.modules(tmp_path) == modules
    installed.pip("check")


def test_platform_alone_lists_its_components_and_runs_the_plugins_stage(environment, tmp_path):
    alone = environment("burnish-platform")
    listed = alone.run("burnish", "plugins", "list", cwd=tmp_path)
    assert listed.returncode == 0, shown(listed)
    assert "arithmetic" in listed.stdout
    assert "burnish-minimal-plugin" not in listed.stdout

    extended = environment("burnish-platform", "burnish-minimal-plugin")
    assert extended.modules(tmp_path) == {"platform"}
    listed = extended.run("burnish", "plugins", "list", cwd=tmp_path)
    assert "census" in listed.stdout
    assert "burnish-minimal-plugin 0.1.0" in listed.stdout
    done = extended.run(
        *("train", "stage=census+census", "stages.census_2.split=validation", "run.name=trial"), cwd=tmp_path
    )
    assert done.returncode == 0, shown(done)
    assert last_row(tmp_path, "census_2")["census/prompt_characters"] == 10


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_platform_alone_names_the_distribution_of_a_stage(environment, tmp_path, stage):
    done = environment("burnish-platform").run("train", f"stage={stage}", cwd=tmp_path)

    assert_one_line(done, f"'{stage}'", f"pip install burnish-{stage}")
    assert not (tmp_path / "runs").exists()


def test_platform_alone_has_no_default_chain_and_says_so(environment, tmp_path):
    done = environment("burnish-platform").run("train", cwd=tmp_path)

    assert_one_line(done, "no installed stage is in the default chain", "stage=<name>", "installed: none")
    assert not (tmp_path / "runs").exists()


def test_llm_runs_its_readme_example(environment, tmp_path):
    script, readme = ROOT / ".ci" / "readme_examples.py", ROOT / "packages" / "llm" / "README.md"
    done = environment("burnish-llm").run("python", str(script), str(readme), cwd=tmp_path)

    assert done.returncode == 0, shown(done)


def test_sample_evaluates(environment, tmp_path):
    done = environment("burnish-sample").run("train", "stage=eval", *SMALL_EVALUATION, cwd=tmp_path)

    assert done.returncode == 0, shown(done)
    assert 0 <= last_row(tmp_path, "eval")["eval/accuracy"] <= 1


def test_sft_without_rl_trains_and_says_how_to_get_rl(environment, tmp_path):
    installed = environment("burnish-sft")
    done = installed.run("train", "stage=sft", *SMALL_SFT, *SMALL_EVALUATION, cwd=tmp_path)
    assert done.returncode == 0, shown(done)
    assert last_row(tmp_path, "sft")["train/loss"] > 0

    refused = installed.run("train", "stage=sft+rl", "run.name=other", cwd=tmp_path)
    assert_one_line(refused, "'rl'", "pip install burnish-rl")
    alone = installed.run("train", "--print-config", cwd=tmp_path)
    assert "  sft:" in alone.stdout, shown(alone)
    assert "  rl:" not in alone.stdout
    assert not (tmp_path / "runs" / "other").exists()


def test_rl_without_sft_trains_and_says_how_to_get_sft(environment, tmp_path):
    installed = environment("burnish-rl")
    done = installed.run("train", "stage=rl", *SMALL_RL, *SMALL_EVALUATION, cwd=tmp_path)
    assert done.returncode == 0, shown(done)
    assert last_row(tmp_path, "rl")["step"] == 2

    refused = installed.run("train", "stage=sft+rl", "run.name=other", cwd=tmp_path)
    assert_one_line(refused, "'sft'", "pip install burnish-sft")


def test_all_packages_train_the_default_chain(everything, tmp_path):
    names = {"platform", "llm", "sample", "sft", "rl", "minionerec"}
    assert everything.modules(tmp_path) == names
    everything.pip("check")

    done = everything.run("train", *SMALL_SFT, *SMALL_RL, *SMALL_EVALUATION, cwd=tmp_path)
    assert done.returncode == 0, shown(done)
    assert last_row(tmp_path, "rl")["step"] == 2
    versions = everything.run("train", "--version", cwd=tmp_path)
    assert {line.split()[0] for line in versions.stdout.splitlines()} == {f"burnish-{name}" for name in names}


def test_plugin_works_on_install_in_every_slot(everything, tmp_path):
    options = [option.replace("engine.", "engine.inner.") for option in SMALL_EVALUATION]
    done = everything.run("train", "+experiment=brief", *options, cwd=tmp_path)
    assert done.returncode == 0, shown(done)
    assert last_row(tmp_path, "census")["census/prompt_characters"] == 10
    assert 0 < last_row(tmp_path, "eval")["eval/brief"] <= 1

    components = (tmp_path / "runs" / "trial" / "run.json").read_text(encoding="utf-8")
    assert "burnish-minimal-plugin" in components
    listed = everything.run("train", "--help", cwd=tmp_path).stdout
    for name in ("census", "deduplicated", "brief"):
        assert name in listed


def test_plugins_own_tests_pass_against_the_wheels(everything, tmp_path):
    plugin = ROOT / "examples" / "minimal-plugin"
    options = ("-p", "no:cacheprovider", "-c", str(plugin / "pyproject.toml"))
    done = everything.run("python", "-m", "pytest", *options, str(plugin / "tests"), cwd=tmp_path)

    assert done.returncode == 0, shown(done)
    assert "3 passed" in done.stdout


def test_engine_of_the_plugin_gives_the_answers_of_the_one_it_wraps(everything, tmp_path):
    answers = []
    for engine in ("in_process", "deduplicated"):
        name = f"run.name={engine}"
        options = [option for option in SMALL_EVALUATION if not option.startswith(("run.name", "engine."))]
        done = everything.run("train", "stage=eval", f"engine={engine}", *options, name, cwd=tmp_path)
        assert done.returncode == 0, shown(done)
        answers.append((tmp_path / "runs" / engine / "samples" / "eval.jsonl").read_text(encoding="utf-8"))

    assert answers[0] == answers[1]
    assert answers[0]


@pytest.fixture(scope="session")
def everything(environment):
    return environment(
        *("burnish-sft", "burnish-rl", "burnish-minionerec"), "burnish-minimal-plugin[sample]", "pytest"
    )
