import logging
import math
import tracemalloc

import numpy as np
import pytest

from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.sink import RunEnd, SinkRow
from burnish.platform.statistics.tracker import StatsTracker

pytestmark = pytest.mark.fast


def _row(step=1, stage="sft"):
    return SinkRow(stage=stage, step=step, last_step=9, global_step=step)


def test_summary_averages_scalars_and_divides_summed_totals_by_summed_counts():
    tracker = StatsTracker()
    for total, count in [(6.0, 2), (1.0, 8)]:
        tracker.ratio("train/loss", np.float32(total), count)
    tracker.scalar("train/grad_norm", 1)
    tracker.scalar("train/grad_norm", 3)
    assert tracker.summary() == {"train/grad_norm": 2.0, "train/loss": 0.7}


def test_summary_of_a_mean_of_means_differs_from_the_ratio():
    tracker = StatsTracker()
    for total, count in [(6.0, 2), (1.0, 8)]:
        tracker.scalar("train/loss", total / count)
    assert tracker.summary()["train/loss"] != pytest.approx(0.7)


def test_summary_keeps_extremes_and_sums_and_leaves_out_means_over_nothing():
    tracker = StatsTracker()
    for value in (3.0, 1.0, 2.0):
        tracker.minimum("low", value)
        tracker.maximum("high", value)
        tracker.sum("all", value)
    tracker.ratio("none", 0.0, 0)
    assert tracker.summary() == {"all": 6.0, "high": 3.0, "low": 1.0}


def test_scope_prefixes_names_and_ends_with_the_block():
    tracker = StatsTracker()
    with tracker.scope("rollout"):
        with tracker.scope("length"):
            tracker.scalar("mean", 1)
        tracker.scalar("count", 2)
    tracker.scalar("x", 3)
    assert tracker.summary() == {"rollout/count": 2.0, "rollout/length/mean": 1.0, "x": 3.0}


def test_timing_sums_under_time_whatever_the_scope():
    tracker = StatsTracker()
    with tracker.scope("eval"), tracker.timing("generate"):
        pass
    assert list(tracker.summary()) == ["time/eval/generate_seconds"]
    assert tracker.summary()["time/eval/generate_seconds"] >= 0


def test_merge_of_two_halves_equals_one_tracker():
    halves = [StatsTracker(), StatsTracker()]
    whole = StatsTracker()
    for index, (total, count) in enumerate([(6.0, 2), (1.0, 8), (2.0, 1)]):
        for tracker in (halves[index % 2], whole):
            tracker.ratio("loss", total, count)
            tracker.maximum("top", total)
    halves[0] += halves[1]
    assert halves[0].summary() == whole.summary()


def test_merge_of_a_mapping_takes_pairs_and_numbers():
    tracker = StatsTracker()
    tracker += {"train/loss": (6.0, 3), "train/lr": 0.5}
    tracker += {"train/loss": (0.0, 1)}
    assert tracker.summary() == {"train/loss": 1.5, "train/lr": 0.5}


def test_record_of_one_name_in_two_ways_is_refused():
    tracker = StatsTracker()
    tracker.scalar("x", 1)
    with pytest.raises(ValueError, match="'x' is recorded as maximum and was recorded as mean"):
        tracker.maximum("x", 1)


class _ListSink:
    def __init__(self, failing=()):
        self.rows, self.failing, self.closed = [], failing, None

    def commit(self, row, stats):
        if row.step in self.failing:
            raise OSError("disk full")
        self.rows.append((row.step, dict(stats)))

    def close(self, end):
        self.closed = end


def test_commit_hands_the_numbers_to_every_sink():
    sinks = {"one": _ListSink(), "two": _ListSink()}
    StatsLogger(sinks).commit(_row(), {"x": math.pi})
    assert sinks["one"].rows == sinks["two"].rows == [(1, {"x": math.pi})]


def test_commit_gives_counts_their_speed_over_the_whole_step():
    sink = _ListSink()
    numbers = {"toy/marks": 30.0, "toy/loss": 2.0, "time/step_seconds": 0.25}
    logger = StatsLogger({"one": sink}, rates=("toy/marks", "toy/absent"))
    logger.commit(_row(1), numbers)
    assert sink.rows == [(1, {**numbers, "perf/toy/marks_per_second": 30.0 / 0.25})]


@pytest.mark.parametrize("clock", [{}, {"time/step_seconds": 0.0}])
def test_commit_without_a_clock_gives_no_speed(clock):
    sink = _ListSink()
    StatsLogger({"one": sink}, rates=("toy/marks",)).commit(_row(1), {"toy/marks": 30.0, **clock})
    assert sink.rows == [(1, {"toy/marks": 30.0, **clock})]


def test_commit_of_a_step_twice_is_refused():
    logger = StatsLogger({})
    logger.commit(_row(1), {})
    logger.commit(_row(1, "rl"), {})
    with pytest.raises(ValueError, match="step 1 of 'sft' is committed twice"):
        logger.commit(_row(1), {})


def test_commit_of_a_step_before_the_last_is_refused():
    logger = StatsLogger({})
    logger.commit(_row(2), {})
    with pytest.raises(ValueError, match="step 1 of 'sft' is committed after step 2"):
        logger.commit(_row(1), {})


def test_commit_holds_nothing_of_a_long_stage():
    logger = StatsLogger({})
    tracemalloc.start()
    for step in range(20_000):
        logger.commit(_row(step), {})
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 50_000


def test_commit_when_a_sink_fails_warns_once_and_serves_the_others(caplog):
    sinks = {"bad": _ListSink(failing=(1, 2)), "good": _ListSink()}
    logger = StatsLogger(sinks)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2, 3):
            logger.commit(_row(step), {"x": 1.0})
    logger.close(RunEnd("stopped", "a limit"))
    assert [record.getMessage() for record in caplog.records] == [
        "logging.sinks.bad fails and misses rows: OSError: disk full"
    ]
    assert [step for step, _ in sinks["good"].rows] == [1, 2, 3]
    assert [step for step, _ in sinks["bad"].rows] == [3]
    assert sinks["good"].closed == RunEnd("stopped", "a limit")


class _Late:
    """A number of which a device says when it is there."""

    def __init__(self, ready):
        self.ready = ready

    def is_ready(self):
        return self.ready

    def __float__(self):
        return 1.0


@pytest.mark.parametrize("ready", [True, False])
def test_is_ready_when_every_value_is(ready):
    tracker = StatsTracker()
    tracker.scalar("x", 1.0)
    tracker.ratio("y", np.float32(2), _Late(ready))
    assert tracker.is_ready == ready
    assert set(tracker.names) == {"x", "y"}
