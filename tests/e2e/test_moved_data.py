"""Files of a run that lie elsewhere, hold something else or are not vouched for when it goes on."""

import json
from pathlib import Path

import pytest

WORDS = (
    "stage=sft",
    "data=jsonl",
    "evaluation.num_problems=4",
    "evaluation.max_new_tokens=4",
    "engine.slots=4",
    "stages.sft.rows_per_step=4",
    "~sink@logging.sinks.tensorboard",
    "run.name=x",
)
LATEST = ("stages.sft.steps=4", "checkpoint.resume_from=latest")


def write(path, number=0):
    lines = [
        {"prompt": f"{a}+{number}=", "completion": str(a + number), "answer": str(a + number)}
        for a in range(12)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def rows():
    kept = [json.loads(line) for line in Path("runs/x/metrics.jsonl").read_text("utf-8").splitlines()]
    return [(row["step"], row.get("train/loss"), row.get("eval/accuracy")) for row in kept]


@pytest.fixture
def begun(command, tmp_path):
    """Train two steps from files, and return how to go on with files of these names."""

    def go_on(train, test, *words):
        return command(*WORDS, f"data.path={train}", f"data.test_path={test}", *words)

    write(tmp_path / "train.jsonl")
    write(tmp_path / "test.jsonl", 1)
    status, _, err = go_on("train.jsonl", "test.jsonl", "stages.sft.steps=2")
    assert status == 0, err
    return go_on


def test_data_that_lies_elsewhere_is_the_same_data(begun, tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").rename(tmp_path / f"{name}_moved.jsonl")
    status, _, err = begun("train_moved.jsonl", "test_moved.jsonl", *LATEST)
    assert status == 0, err
    assert [row[0] for row in rows()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "said"),
    [("train.jsonl", "the data source has changed"), ("test.jsonl", "the evaluation's data has changed")],
)
def test_data_that_has_changed_is_refused_and_goes_on_when_it_is_put_back(begun, tmp_path, name, said):
    before = (tmp_path / name).read_bytes()
    write(tmp_path / name, 7)
    status, _, err = begun("train.jsonl", "test.jsonl", *LATEST)
    assert (status, said in err) == (2, True), err
    (tmp_path / name).write_bytes(before)
    status, _, err = begun("train.jsonl", "test.jsonl", *LATEST)
    assert status == 0, err
    assert [row[0] for row in rows()] == [0, 1, 2, 3, 4]


def test_other_options_of_the_data_are_refused(begun):
    status, _, err = begun("train.jsonl", "test.jsonl", "data.answer_field=completion", *LATEST)
    assert (status, "data.answer_field: answer -> completion" in err) == (2, True), err


@pytest.mark.usefixtures("begun")
def test_an_export_without_its_manifest_is_not_taken(command):
    take = ("stage=eval", "data.num_problems=2000", "model=pretrained", "model.name_or_path=runs/x")
    small = ("evaluation.num_problems=4", "engine.slots=4", "~sink@logging.sinks.tensorboard")
    status, _, err = command(*take, *small, "run.name=z")
    assert status == 0, err
    Path("runs/x/stages/1-sft/export/manifest.json").unlink()
    status, _, err = command(*take, *small, "run.name=y")
    assert (status, "has no manifest.json" in err, len(err.splitlines())) == (2, True, 1), err
