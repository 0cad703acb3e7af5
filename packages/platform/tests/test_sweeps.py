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
