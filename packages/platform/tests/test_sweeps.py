"""`train -m`: one run for each combination of values, chains included."""

import pytest

pytestmark = pytest.mark.usefixtures("toy")


def runs(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs").iterdir())


def test_train_when_swept_then_each_job_has_a_run_of_its_own(train, tmp_path):
    status, _, err = train("-m", "stage=toy,toy+toy", "run.name=x")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["x", "x-2"]
    assert (
        sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".yaml" or path.name == "multirun")
        == []
    )


def test_train_when_the_mode_is_multirun_then_it_is_swept(train, tmp_path):
    status, _, err = train("hydra.mode=MULTIRUN", "stage=toy", "stages.toy.steps=1,2", "run.name=x")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["x", "x-2"]


@pytest.mark.parametrize("word", ["hydra.mode=MULTIRUN", "++hydra.mode=MULTIRUN", "mine.yaml"])
def test_train_when_the_mode_is_multirun_then_a_dry_run_leaves_nothing(train, tmp_path, word):
    (tmp_path / "mine.yaml").write_text("hydra: {mode: MULTIRUN}")
    before = sorted(tmp_path.iterdir())
    status, _, err = train(word, "stage=toy", "--dry-run")
    assert (status, err) == (0, "")
    assert sorted(tmp_path.iterdir()) == before


def test_train_when_not_swept_then_options_of_hydra_still_hold(train, tmp_path):
    status, _, err = train(
        "stage=toy", "hydra.run.dir=kept", "hydra.output_subdir=.hydra", "run.name=${hydra:job.name}-1"
    )
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["train-1"]
    assert (tmp_path / "kept" / ".hydra" / "overrides.yaml").is_file()


def test_train_when_hydra_is_asked_for_nothing_then_a_config_may_still_name_it(train, tmp_path):
    words = [
        "run.name=${hydra:job.name}-${hydra:runtime.choices.stage}",
        "run.output_dir=${hydra:runtime.output_dir}/runs",
    ]
    status, _, err = train("stage=toy", *words)
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["train-toy"]


def test_train_when_swept_and_one_value_is_bad_then_one_line(train):
    status, _, err = train("stage=toy", "-m", "stages.toy.steps=1,abc")
    assert (status, err.count("\n")) == (2, 1)
    assert "stages.toy.steps: expected a whole number" in err


def test_train_when_swept_over_chains_then_options_of_blocks_outside_the_default_chain_hold(train, tmp_path):
    status, _, err = train("-m", "stage=toy,toy+toy", "stages.toy.steps=7", "run.name=x")
    assert (status, err) == (0, "")
    for name in ("x", "x-2"):
        assert "steps: 7" in (tmp_path / "runs" / name / "config.yaml").read_text(encoding="utf-8")
    assert "toy_2:" in (tmp_path / "runs" / "x-2" / "config.yaml").read_text(encoding="utf-8")


def test_train_when_swept_over_chains_then_new_labels_and_inner_slots_hold(train, tmp_path, distribution):
    source = (
        "from dataclasses import dataclass\nfrom typing import Any\n"
        "from burnish.platform.configuration.slot_fields import slots\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Wrap:\n"
        "    more: Any = slots('engine', [])\n    def build(self): ...\n"
    )
    distribution("wrap", {"engine": {"wrap": "wrap:Wrap"}}, {"wrap.py": source})
    words = ["stages.toy.rewards.more=length,size", "engine=wrap", "engine.more.a=echo", "run.name=x"]
    status, _, err = train("-m", "stage=toy,toy+toy", *words)
    assert (status, err) == (0, "")
    configs = [(tmp_path / "runs" / name / "config.yaml").read_text() for name in runs(tmp_path)]
    assert len(configs) == 4
    assert all("repeat: 1" in text and "more:\n" in text for text in configs)
    assert sum("use: size" in text for text in configs) == 2
