import pytest

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
def test_is_begun_in_every_other_phase_is_true(root, phase):
    root.status(phase)
    assert root.is_begun
    assert root.is_complete == (phase == "complete")


def test_is_begun_of_an_empty_directory_is_false(tmp_path):
    assert not RunDirectory(tmp_path).is_begun


def test_clear_leaves_nothing_of_what_a_process_that_died_was_removing(root):
    for name in ("stages/1-x", ".samples.removed", ".run.json.writing"):
        (root.path / name).mkdir(parents=True)
    root.clear()
    assert sorted(path.name for path in root.path.iterdir()) == ["config.yaml", "status.json"]


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
