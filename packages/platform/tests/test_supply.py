"""A stage makes the data of the next one: what is provided and needed, and what is refused before a run."""

import json
from pathlib import Path

import pytest

from burnish.platform.statistics.rows import read_rows

pytestmark = pytest.mark.fast

MAKER = """
import json
from dataclasses import dataclass
from typing import ClassVar

from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Make:
    provides: ClassVar[frozenset[str]] = frozenset({"problems"})
    num_problems: int = 3
    is_forgetful: bool = False

    def build(self, run):
        return MakeStage(self, run)


class MakeStage:
    def __init__(self, config, run):
        self.config, self.run_ = config, run

    def run(self, artifacts):
        directory = self.run_.stage_directory / "export"
        directory.mkdir(parents=True, exist_ok=True)
        rows = [{"prompt": f"{n}=", "completion": f"#{n}"} for n in range(self.config.num_problems)]
        (directory / "problems.jsonl").write_text("".join(json.dumps(row) + chr(10) for row in rows))
        for step in self.run_.steps(0):
            self.run_.commit(step, StatsTracker())
        return artifacts if self.config.is_forgetful else artifacts.including("problems", directory)
"""

READER = """
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from burnish.platform.configuration.slot_fields import shared, slots
from burnish.platform.data.config import Jsonl
from burnish.platform.data.source import DataContext
from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Made:
    needs: ClassVar[frozenset[str]] = frozenset({"problems"})

    def splits(self):
        return ("prompts",)

    def build(self, context):
        return Jsonl(path=str(context.artifacts["problems"] / "problems.jsonl")).build(context)


def indexed(samples):
    return []


indexed.needs = {"index"}


@dataclass(frozen=True, kw_only=True)
class Late:
    needs: ClassVar[frozenset[str]] = frozenset({"problems"})

    def build(self, context):
        raise AssertionError("nobody opens it")


@dataclass(frozen=True, kw_only=True)
class Box:
    rewards: Any = slots("reward", [])

    def build(self, context):
        return self


@dataclass(frozen=True, kw_only=True)
class Boxes:
    box: Any = shared("box", "boxed")

    @property
    def provides(self):
        return frozenset({"boxes"})

    def build(self, run, box):
        raise AssertionError("nobody runs it")


@dataclass(frozen=True, kw_only=True)
class Count:
    data: Any = shared("data", "arithmetic")
    rewards: Any = slots("reward", [])

    def check(self, context):
        if context.can_build(self.data):
            self.data.build(DataContext(split="prompts"))

    def build(self, run, data):
        return CountStage(run, data)


class CountStage:
    def __init__(self, run, data):
        self.run_, self.data = run, data

    def run(self, artifacts):
        if Path("broken").exists():
            raise ZeroDivisionError("a bug")
        source = self.data.build(DataContext(split="prompts", artifacts=artifacts))
        for step in self.run_.steps(0):
            stats = StatsTracker()
            stats.scalar("count/records", len(source))
            self.run_.commit(step, stats)
        return artifacts

    def plan(self):
        return {"records": len(self.data.build(DataContext(split="prompts")))}
"""
QUIET = ("~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")


@pytest.fixture
def reader(distribution):
    """Install a stage that counts records, data and a reward that need artifacts, and no maker of these."""
    distribution(
        "burnish-reader",
        {
            "stage": {"count": "burnish_reader:Count", "boxes": "burnish_reader:Boxes"},
            "box": {"boxed": "burnish_reader:Box"},
            "sink": {"late": "burnish_reader:Late"},
            "data": {"made": "burnish_reader:Made"},
            "reward": {"indexed": "burnish_reader:indexed"},
        },
        {"burnish_reader.py": READER},
    )


@pytest.fixture
def maker(reader, distribution):  # noqa: ARG001 - it goes with the reader
    """Install a stage that makes the problems too."""
    distribution("burnish-maker", {"stage": {"make": "burnish_maker:Make"}}, {"burnish_maker.py": MAKER})


@pytest.fixture
def refused(train):
    """Return a function that sees `train` refuse in one line and write nothing, and returns the line."""

    def call(*words):
        status, out, err = train(*words, *QUIET)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert not Path("runs").exists()
        return err

    return call


def records_counted():
    return {row["stage"]: row.get("count/records") for row in read_rows(Path("runs/x/metrics.jsonl"))}


@pytest.mark.usefixtures("maker")
def test_a_stage_makes_the_data_of_the_next(train):
    status, _, err = train("stage=make+count", "data=made", "stages.make.num_problems=7", *QUIET)
    assert status == 0, err
    assert records_counted() == {"make": None, "count": 7}


@pytest.mark.usefixtures("maker")
def test_the_artifact_is_found_again_on_resume(train):
    words = ("stage=make+count", "data=made", *QUIET)
    Path("broken").touch()
    with pytest.raises(ZeroDivisionError):
        train(*words)
    Path("broken").unlink()
    assert train(*words, "checkpoint.resume_from=latest")[0] == 0
    assert records_counted() == {"make": None, "count": 3}


@pytest.mark.usefixtures("maker")
@pytest.mark.parametrize(
    ("chain", "remedy"),
    [("count", "make+count"), ("count+make", "make+count"), ("count+count", "make+count+count")],
)
def test_twin_without_the_stage_before_it_is_refused_with_who_could(train, refused, chain, remedy):
    line = refused(f"stage={chain}", "data=made")
    assert "data: the data 'made' needs the artifact 'problems', which no stage before stages.count" in line
    assert f"make (burnish-maker 1.0); put it in front, as in stage={remedy}\n" in line
    status, _, err = train(f"stage={remedy}", "data=made", "--dry-run")
    assert status == 0, err


@pytest.mark.usefixtures("reader")
def test_twin_where_nobody_could_is_refused_and_says_so(train, refused, distribution):
    line = refused("stage=count", "data=made")
    assert "which no stage before stages.count provides; no installed stage does" in line
    assert line.endswith("install a package with one that does, or choose another component\n")
    assert train("stage=count", "--dry-run")[0] == 0
    distribution("burnish-maker", {"stage": {"make": "burnish_maker:Make"}}, {"burnish_maker.py": MAKER})
    assert train("stage=make+count", "data=made", "--dry-run")[0] == 0


@pytest.mark.usefixtures("maker")
def test_a_function_that_needs_an_artifact_is_refused_at_its_place(refused):
    line = refused("stage=make+count", "data=made", "+reward@stages.count.rewards.i=indexed")
    assert "stages.count.rewards.i: the reward 'indexed' needs the artifact 'index'" in line


@pytest.mark.usefixtures("reader")
def test_a_part_of_a_shared_component_is_refused_where_it_is_chosen(refused):
    line = refused("stage=boxes", "box.rewards.i=indexed")
    assert line.startswith("train: box.rewards.i: the reward 'indexed' needs the artifact 'index'")


@pytest.mark.usefixtures("maker")
def test_a_sink_that_needs_an_artifact_is_refused(train, refused):
    line = refused("stage=make+count", "data=made", "logging.sinks.late=late")
    assert "logging.sinks.late: the sink 'late' needs the artifact 'problems'" in line
    assert line.endswith("; choose another\n")
    assert train("stage=make+count", "data=made", "logging.sinks.late=console", "--dry-run")[0] == 0


@pytest.mark.usefixtures("maker")
def test_data_that_needs_nothing_is_still_read_before_anything_runs(refused):
    assert "none.jsonl" in refused("stage=make+count", "data=jsonl", "data.path=none.jsonl")


@pytest.mark.usefixtures("maker")
def test_dry_run_leaves_out_what_is_not_there_yet(train):
    status, out, err = train("stage=make+count", "data=made", "--dry-run", *QUIET)
    assert status == 0, err
    assert "known once the stages before have run" in out
    assert "problems" in out
    assert not Path("runs").exists()


@pytest.mark.usefixtures("maker")
def test_a_stage_that_does_not_provide_what_it_declares_is_named(train):
    status, _, err = train("stage=make+count", "data=made", "stages.make.is_forgetful=true", *QUIET)
    assert status == 2
    assert "stages.make: the stage 'make' declares that it provides problems and did not" in err
    assert json.loads(Path("runs/x/status.json").read_text(encoding="utf-8"))["phase"] == "failed"
    assert "; mend its `provides` or its `run`" in err
    status, _, err = train("stage=make+count", "data=made", *QUIET[:2], "run.name=y")
    assert status == 0, err
