"""A record that the disk has damaged is one line with the file and what helps, and what it says does help."""

import json
import shutil
from pathlib import Path

import pytest

from burnish.platform.errors import RunError
from burnish.platform.runs.records import read_record

RUN = Path("runs/x")
RESUME = "checkpoint.resume_from=latest"
DAMAGES = {
    "empty": lambda _: b"",
    "torn": lambda content: content[: len(content) // 2],
    "no text": lambda _: b"\xff\xfe\x00",
    "zeros": lambda content: bytes(len(content)),
    "another kind": lambda _: b"[1, 2]\n",
    "no fields": lambda _: b"{}\n",
}
JSON_RECORDS = ("status.json", "run.json", "stages/1-tally/done.json")


@pytest.mark.parametrize("kind", DAMAGES)
def test_read_record_of_anything_but_its_fields_is_refused(tmp_path, kind):
    record = tmp_path / "record.json"
    content = b'{"phase": "complete", "step": 3}\n'
    record.write_bytes(content)
    assert read_record(record, {"phase": str, "step": int}, "-") == {"phase": "complete", "step": 3}
    record.write_bytes(DAMAGES[kind](content))
    with pytest.raises(RunError, match=r"record\.json' is damaged: .*; delete it"):
        read_record(record, {"phase": str}, "delete it")


@pytest.fixture
def broken_off(tally, uninterrupted):
    """The command, with a run that stopped in its second stage, and what it would have left."""
    status, _, err = tally(*tally.chain, "stages.tally_2.stops_at=2")
    assert status == 3, err
    tally.take_back(("stages.tally_2.stops_at=2",))
    return tally, uninterrupted


def _refused(tally):
    status, out, err = tally(*tally.chain, RESUME)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    return err


@pytest.mark.parametrize("name", JSON_RECORDS)
def test_a_damaged_record_is_named_and_the_run_goes_on_without_it(broken_off, name):
    tally, whole = broken_off
    record = RUN / name
    content = record.read_bytes()
    for kind in ("torn", "no fields"):
        record.write_bytes(DAMAGES[kind](content))
        err = _refused(tally)
        assert f"'{record}' is damaged: " in err, kind
        assert "; delete it: " in err, kind
    record.unlink()
    status, _, err = tally(*tally.chain, RESUME)
    assert status == 0, err
    assert (tally.rows(), tally.samples()) == whole
    assert ("versions that the run began with are not compared" in err) == (name == "run.json")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"artifacts": {"walk": 3}}, "is damaged: artifacts.walk must be the path of a directory; "),
        ({"artifacts": {"walk": None}}, "is damaged: artifacts.walk must be the path of a directory; "),
        ({"artifacts": {"walk": "nowhere"}}, "says that artifacts.walk is 'runs/x/nowhere', which is no dir"),
        ({"ended_early": 3}, "is damaged: it has no 'ended_early'; "),
        ({"next_global_step": "3"}, "is damaged: it has no 'next_global_step'; "),
    ],
)
def test_a_wrong_value_in_the_mark_of_a_stage_is_named_and_the_stage_ends_anew(broken_off, damage, said):
    tally, whole = broken_off
    mark = RUN / "stages/1-tally/done.json"
    mark.write_text(json.dumps({**json.loads(mark.read_bytes()), **damage}), encoding="utf-8")
    err = _refused(tally)
    assert f"'{mark}' {said}" in err
    assert "; delete it: its stage then ends anew from the last checkpoint" in err
    assert "go on with" not in err
    mark.unlink()
    assert tally(*tally.chain, RESUME)[0] == 0
    assert (tally.rows(), tally.samples()) == whole


def test_a_finished_run_whose_exports_were_deleted_is_still_finished(tally):
    assert tally(*tally.chain)[0] == 0
    for export in RUN.glob("stages/*/export"):
        shutil.rmtree(export)
    status, _, err = tally(*tally.chain, RESUME)
    assert (status, "is complete: nothing to resume" in err) == (0, True)


def test_a_record_that_cannot_be_read_is_named(broken_off, monkeypatch):
    tally, _ = broken_off
    read = Path.read_bytes

    def failing(path):
        if path.name == "status.json":
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert f"'{RUN}/status.json' cannot be read: Input/output error; delete it" in _refused(tally)


def test_a_damaged_config_is_named_and_another_name_starts_anew(broken_off):
    tally, whole = broken_off
    record = RUN / "config.yaml"
    content = record.read_bytes()
    for kind in ("empty", "no text", "zeros", "another kind", "not YAML"):
        record.write_bytes({**DAMAGES, "not YAML": lambda _: b"run: {a: ["}[kind](content))
        err = _refused(tally)
        assert f"'{record}' is damaged: it is not the YAML that was written; put it back" in err, kind
        assert "set another run.name" in err
    status, _, err = tally(*tally.chain[:-1], "run.name=y", RESUME)
    assert status == 0, err
    tally.directory = Path("runs/y")
    assert (tally.rows(), tally.samples()) == whole


def test_a_damaged_intent_to_go_back_is_named_and_the_run_goes_on_without_it(broken_off):
    tally, whole = broken_off
    record = RUN / "rewind.json"
    record.write_bytes(b'{"stage_index": "a"}')
    assert f"'{record}' is damaged: it has no 'stage_index'; delete it" in _refused(tally)
    record.unlink()
    assert tally(*tally.chain, RESUME)[0] == 0
    assert (tally.rows(), tally.samples()) == whole


def test_twin_a_whole_record_is_believed(broken_off):
    tally, whole = broken_off
    assert tally(*tally.chain, RESUME)[0] == 0
    assert (tally.rows(), tally.samples()) == whole
