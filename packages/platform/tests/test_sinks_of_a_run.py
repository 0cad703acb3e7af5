"""Sinks over a whole run: opened once, told what it is and how it ended, saved where they have a state."""

from pathlib import Path

import pytest

from burnish.platform.testing import named

pytestmark = pytest.mark.fast

DIARY = """
from dataclasses import dataclass
from typing import ClassVar

from burnish.platform.checkpoint.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Diary:
    fails: bool = False

    def build(self, context):
        if self.fails:
            raise OSError("no ink")
        return Written(context)


class Written:
    opened: ClassVar[list] = []

    def __init__(self, context):
        self.context, self.rows, self.ends = context, [], []
        self.opened.append(self)

    def commit(self, row, stats):
        self.rows.append((row.stage, row.step))

    def close(self, end):
        self.ends.append(end)


@dataclass(frozen=True, kw_only=True)
class Numbered:
    def build(self, context):
        return Counting(context)


class Counting(Written):
    num_rows = 0

    def commit(self, row, stats):
        self.num_rows += 1

    def save_state(self):
        return Snapshot(json={"num_rows": self.num_rows})

    def load_state(self, restored):
        self.num_rows = restored.json["num_rows"]
"""
WITH_DIARY = "+sink@logging.sinks.diary=burnish_diary:Diary"


@pytest.fixture
def diaries(distribution):
    """The sinks that `burnish_diary:Diary` opens, in order."""
    distribution("burnish-diary", {}, {"burnish_diary.py": DIARY})
    import burnish_diary

    return burnish_diary.Written.opened


def test_a_sink_opens_once_for_the_whole_chain_and_knows_its_run(tally, diaries):
    status, _, err = tally(*tally.chain, WITH_DIARY)
    assert status == 0, err
    (diary,) = diaries
    assert diary.rows == [(row["stage"], row["step"]) for row in tally.rows()]
    assert [(end.phase, end.reason) for end in diary.ends] == [("complete", None)]
    context = diary.context
    assert (context.run_name, context.stages) == ("x", ("tally", "tally_2"))
    assert context.directory.resolve() == Path("runs/x").resolve()
    assert context.config["stages"]["tally_2"]["steps"] == 3
    assert context.resumed_from is None


def test_a_sink_is_told_how_the_run_ended_and_where_it_goes_on(tally, diaries):
    assert tally(*tally.chain, WITH_DIARY, "stages.tally_2.stops_at=1")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=1",))
    assert tally(*tally.chain, WITH_DIARY, "checkpoint.resume_from=latest")[0] == 0
    stopped, resumed = diaries
    (end,) = stopped.ends
    assert end.phase == "stopped"
    assert "it walked too far" in end.reason
    assert resumed.context.resumed_from == ("tally_2", 1)
    assert resumed.rows == [("tally_2", 2), ("tally_2", 3)]


def test_a_sink_that_cannot_start_ends_the_run_and_the_others_are_told(tally, diaries):
    failing = "+sink@logging.sinks.dry=burnish_diary:Diary"
    with pytest.raises(OSError, match="no ink"):
        tally(*tally.chain, WITH_DIARY, failing, "logging.sinks.dry.fails=true")
    ((end,),) = [diary.ends for diary in diaries]
    assert (end.phase, end.reason) == ("refused", "logging.sinks.dry cannot start: no ink")
    assert tally.status()["phase"] == "failed"
    assert tally.rows() == []


def test_a_sink_with_a_state_goes_on_with_it(tally, diaries):
    numbered = "+sink@logging.sinks.numbered=burnish_diary:Numbered"
    assert tally(*tally.chain, numbered, "stages.tally.stops_at=3")[0] == 3
    tally.take_back(("stages.tally.stops_at=3",))
    assert tally(*tally.chain, numbered, "checkpoint.resume_from=latest")[0] == 0
    assert [sink.num_rows for sink in diaries] == [4, len(tally.rows())]


def test_a_sink_with_a_state_may_leave_and_join_a_run(tally, diaries):
    numbered = "+sink@logging.sinks.numbered=burnish_diary:Numbered"
    other = numbered.replace("numbered=", "other=")
    assert tally(*tally.chain, numbered, "stages.tally.stops_at=3")[0] == 3
    tally.take_back(("stages.tally.stops_at=3",))
    status, _, err = tally(*tally.chain, other, "checkpoint.resume_from=latest")
    assert status == 0, err
    before, joined = diaries
    assert before.num_rows + joined.num_rows == len(tally.rows())


@pytest.mark.parametrize(("name", "place"), [("jsonl", "metrics.jsonl"), ("tensorboard", "tb/")])
def test_two_sinks_that_write_one_place_are_refused_before_anything_is_written(tally, name, place):
    chain = [word for word in tally.chain if "tensorboard" not in word]
    status, _, err = tally(*chain, f"logging.sinks.more={name}")
    assert (status, err.count("\n")) == (2, 1)
    assert f"logging.sinks.more would write '{place}' of the run, as logging.sinks.{name} does" in err
    remedy = named(err, r"take one away: (logging\.sinks\.more=null)$")
    assert not Path("runs").exists()
    status, _, err = tally(*chain, f"logging.sinks.more={name}", remedy)
    assert status == 0, err


def test_sinks_that_say_nothing_may_be_of_one_kind(tally, diaries):
    status, _, err = tally(*tally.chain, WITH_DIARY, "+sink@logging.sinks.other=burnish_diary:Diary")
    assert status == 0, err
    assert [diary.rows == diaries[0].rows for diary in diaries] == [True, True]
