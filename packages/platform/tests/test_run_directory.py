import pytest

from burnish.platform import atomic
from burnish.platform.atomic import publish_file
from burnish.platform.configuration.config import RunConfig
from burnish.platform.errors import ConfigError, RunError
from burnish.platform.runs.run_directory import RunDirectory

pytestmark = pytest.mark.fast


@pytest.fixture
def root(tmp_path):
    """A run that has been refused before its first row."""
    made = RunDirectory(tmp_path / "x")
    publish_file(made.config, b"run: {}")
    made.status("refused", reason="the data has a broken line")
    return made


def test_is_begun_when_refused_before_the_first_row_is_false(root):
    root.metrics.touch()
    assert not root.is_begun


def test_is_begun_when_refused_after_a_row_is_true(root):
    root.metrics.write_text("{}\n")
    assert root.is_begun


@pytest.mark.parametrize("phase", ["running", "failed", "interrupted", "stopped", "complete"])
def test_is_begun_without_a_row_is_false_in_every_phase(root, phase):
    root.status(phase)
    assert not root.is_begun
    assert root.is_complete == (phase == "complete")


def test_is_begun_of_an_empty_directory_is_false(tmp_path):
    assert not RunDirectory(tmp_path).is_begun


def test_clear_leaves_nothing_of_what_a_process_that_died_was_removing(root):
    for name in ("stages/1-x", ".samples.removed", ".summary.json.writing"):
        (root.path / name).mkdir(parents=True)
    root.write_json("run.json", {})
    root.clear()
    assert sorted(path.name for path in root.path.iterdir()) == ["config.yaml", "run.json", "status.json"]


def test_acquire_when_another_holds_it_names_that_one(root):
    root.acquire()
    with pytest.raises(RunError, match=r"is being written by process \d+ on"):
        RunDirectory(root.path).acquire()
    root.release()
    second = RunDirectory(root.path)
    second.acquire()
    second.release()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b"])
def test_a_run_name_that_is_no_directory_of_its_own_is_refused(name):
    with pytest.raises(ConfigError, match="must be one directory's name"):
        RunConfig(name=name)


def test_flush_records_puts_rows_and_events_and_their_names_on_the_disk(root, monkeypatch):
    sizes = {"metrics.jsonl": 3, "samples/a.jsonl": 5, "tb/events.out.tfevents.1700000000.host.sft": 7}
    for name, size in sizes.items():
        publish_file(root.path / name, b"x" * size)
    publish_file(root.path / "tb/other", b"not of the run")
    flushed = []
    monkeypatch.setattr(atomic, "flush", lambda path: flushed.append(path.relative_to(root.path).as_posix()))
    assert root.flush_records() == sizes
    assert sorted(flushed) == sorted([*sizes, ".", "samples", "tb"])


def test_clear_removes_the_events_of_a_run_that_was_refused(root):
    publish_file(root.path / "tb/events.out.tfevents.1700000000.host.sft", b"x")
    root.clear()
    assert (root.path / "tb").exists(), "without a record of a run it is somebody else's"
    root.write_json("run.json", {})
    root.clear()
    assert not (root.path / "tb").exists()
