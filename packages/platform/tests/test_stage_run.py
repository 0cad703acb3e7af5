"""The loop's owner: which parts it saves, when it reads a row, and how a limit or a finish ends the loop."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.policy import CheckpointPolicy
from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import CheckpointError, ComponentError, ConfigError, LimitExceeded
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.tracker import StatsTracker
from burnish.platform.testing import KeptRows

pytestmark = pytest.mark.fast

WAIT = 0.05


def slowly(commit):
    def wait(*arguments):
        time.sleep(WAIT)
        commit(*arguments)

    return wait


class Counter:
    """A part with a state."""

    def __init__(self):
        self.value = 0

    def save_state(self):
        return Snapshot(json={"value": self.value})

    def load_state(self, restored):
        self.value = restored.json["value"]


class Wrapped:
    """Anything, passed on by `__getattr__`."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture
def make_run(tmp_path):
    """Return a maker of runs in one directory; the rows of a run are in `run.rows`."""

    def make(*, resume_step=None, is_primary=True, **checkpoint):
        sink = KeptRows()
        manager = CheckpointManager(tmp_path / "run/checkpoints", CheckpointPolicy(**checkpoint))
        made = StageRun(
            root=RunDirectory(tmp_path / "run", is_primary=is_primary),
            index=1,
            name="count",
            seed=0,
            jax=JaxConfig(),
            logger=StatsLogger({"kept": sink}),
            manager=manager,
            resume_from=None if resume_step is None else manager.verify(resume_step),
        )
        made.rows = sink.rows
        return made

    return make


def count(run, last, **parts):
    """Loop to `last`, one row a step."""
    for step in run.steps(last, **parts):
        run.commit(step, StatsTracker())


class Recorded:
    """A number on a device that says when it is read, and whose step is never done before."""

    def __init__(self, array, step, events):
        self._array, self._step, self._events = array, step, events

    def is_ready(self):
        return False

    def __float__(self):
        self._events.append(("read", self._step))
        return float(self._array)


@jax.jit
def advance(state):
    """One step of a model too small to matter."""
    return jnp.tanh(state + 1.0), jnp.sum(state)


def events_of(run, last, *, reads_in_loop=False, name="train/loss"):
    """Dispatch a step and commit its row, for each step; return dispatches and reads as they happened."""
    events, state = [], jnp.zeros(4)
    for step in run.steps(last):
        state, total = advance(state)
        events.append(("dispatch", step))
        stats = StatsTracker()
        stats.scalar(name, Recorded(total, step, events))
        if reads_in_loop:
            assert stats.summary()
        run.commit(step, stats)
    return events


def reads_one_step_late(events, last):
    """Whether each step but the last is dispatched before the numbers of the one before it are read."""
    return all(events.index(("dispatch", k + 1)) < events.index(("read", k)) for k in range(last))


def test_a_row_is_read_when_the_next_step_is_under_way(make_run):
    run = make_run()
    events = events_of(run, 5)
    assert reads_one_step_late(events, 5)
    assert [event for event in events if event[0] == "read"] == [("read", step) for step in range(6)]
    assert events[-2:] == [("read", 4), ("read", 5)]
    assert [row["step"] for row in run.rows] == list(range(6))


def test_twin_a_loop_that_reads_its_statistics_is_seen_to_wait(make_run):
    assert not reads_one_step_late(events_of(make_run(), 5, reads_in_loop=True), 5)


def test_an_evaluation_is_read_at_once(make_run):
    events = events_of(make_run(), 3, name="eval/accuracy")
    assert events == [(kind, step) for step in range(4) for kind in ("dispatch", "read")]


def test_rows_that_differ_in_when_they_are_read_are_equal(make_run):
    late, at_once = make_run(), make_run()
    events_of(late, 5)
    events_of(at_once, 5, reads_in_loop=True)
    assert [row["train/loss"] for row in late.rows] == [row["train/loss"] for row in at_once.rows]


@pytest.mark.parametrize(
    "policy", [{"save_every_steps": 2}, {"keep_best": "train/loss", "save_every_steps": 0}]
)
def test_a_checkpoint_has_its_own_rows_numbers(make_run, policy):
    run = make_run(save_total_limit=None, **policy)
    counter, events = Counter(), []
    for step in run.steps(4, counter=counter):
        stats = StatsTracker()
        stats.scalar("train/loss", Recorded(np.float32(step), step, events))
        run.commit(step, stats)
        if step == 2:
            assert ("read", 2) in events
    assert 2 in run.manager.steps()
    assert [row["train/loss"] for row in run.rows] == [0, 1, 2, 3, 4]


def test_step_seconds_count_each_second_of_the_loop_once(make_run, monkeypatch):
    monkeypatch.setattr(KeptRows, "commit", slowly(KeptRows.commit))
    run, events = make_run(), []
    started = time.perf_counter()
    for step in run.steps(4):
        time.sleep(0.01)
        stats = StatsTracker()
        stats.scalar("train/loss", Recorded(np.float32(1), step, events))
        run.commit(step, stats)
    elapsed = time.perf_counter() - started
    seconds = [row["time/step_seconds"] for row in run.rows]
    assert min(seconds) >= 0.01
    assert sum(seconds) <= elapsed
    assert sum(seconds) >= elapsed - 2 * WAIT, "what the sink took is counted, but for the last row"


def limited(run, last, exceeded_at, finishes_at=-1):
    """Loop with a limit that objects to one step; return the last step that was begun."""
    begun = -1
    for step in run.steps(last, counter=Counter()):
        begun = step
        run.stop_if(lambda number: "too much" if number == exceeded_at else None, step)
        if step == finishes_at:
            run.finish("enough")
        run.commit(step, StatsTracker())
    return begun


def test_a_limit_stops_one_step_late_and_saves(make_run):
    run = make_run()
    with pytest.raises(LimitExceeded, match="stopped at step 3 of 'count': too much"):
        limited(run, 5, exceeded_at=2)
    assert run.manager.steps() == [3]
    assert [row["step"] for row in run.rows] == [0, 1, 2, 3]


def test_a_limit_that_the_last_step_exceeds_stops_before_the_stage_goes_on(make_run):
    with pytest.raises(LimitExceeded, match="stopped at step 5 of 'count': too much"):
        limited(make_run(), 5, exceeded_at=5)


def test_a_limit_that_a_finishing_step_exceeds_stops_and_does_not_finish(make_run):
    with pytest.raises(LimitExceeded, match="too much"):
        limited(make_run(), 5, exceeded_at=0, finishes_at=0)
    resumed = make_run(resume_step=0)
    count(resumed, 1, counter=Counter())
    assert [row["step"] for row in resumed.rows] == [1]


def test_twin_a_limit_that_nothing_exceeds_stops_nothing(make_run):
    assert limited(make_run(), 5, exceeded_at=-1) == 5


def test_parts_with_a_state_are_saved_whatever_they_are_and_others_ignored(make_run):
    counter, wrapped = Counter(), Counter()
    run = make_run()
    for step in run.steps(3, counter=counter, wrapped=Wrapped(wrapped), rule=len, number=3):
        counter.value, wrapped.value = step, -step
        run.commit(step, StatsTracker())
    again = {"counter": Counter(), "wrapped": Counter()}
    count(make_run(resume_step=3), 3, **again)
    assert [part.value for part in again.values()] == [3, -3]


def test_a_resume_with_other_stateful_parts_is_refused(make_run):
    count(make_run(), 2, counter=Counter(), rule=len)
    with pytest.raises(CheckpointError, match="holds the state of counter, but the stage has counter, more"):
        count(make_run(resume_step=2), 3, counter=Counter(), more=Counter())


@pytest.mark.parametrize("half", ["save_state", "load_state"])
def test_half_a_state_is_refused(make_run, half):
    part = type("Half", (), {half: getattr(Counter, half)})()
    with pytest.raises(ComponentError, match=rf"`odd` \(Half\) has `{half}` and no "):
        count(make_run(), 1, odd=part)


def test_finish_without_a_state_ends_the_loop(make_run):
    run = make_run()
    for step in run.steps(9):
        if step == 2:
            run.finish("enough")
        run.commit(step, StatsTracker())
    assert [row["step"] for row in run.rows] == [0, 1, 2]
    assert run.ended_early == "finished at step 2 of 9: enough"
    assert run.next_global_step == 3


def test_a_process_that_is_not_the_primary_one_writes_nothing(make_run, tmp_path):
    run = make_run(is_primary=False)
    run.root.acquire()
    for step in run.steps(2, counter=Counter()):
        run.samples("x").write(step, [{"value": 1}])
        run.commit(step, StatsTracker())
    run.root.status("complete")
    run.root.release()
    assert not run.is_primary
    assert list(tmp_path.iterdir()) == []


def test_twin_the_primary_process_writes(make_run, tmp_path):
    run = make_run()
    run.root.acquire()
    for step in run.steps(2, counter=Counter()):
        run.samples("x").write(step, [{"value": 1}])
        run.commit(step, StatsTracker())
    run.root.release()
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written == {"lock", "samples", "checkpoints", "status.json"}


def test_fewer_steps_than_the_checkpoint_are_refused(make_run):
    before = make_run()
    for step in before.steps(4, counter=Counter()):
        before.commit(step, StatsTracker())
    resumed = make_run(resume_step=4)
    with pytest.raises(ConfigError, match=r"^steps=3 is below step 4 of the checkpoint"):
        next(resumed.steps(3, counter=Counter()))


def test_the_last_step_is_the_one_at_hand_once_the_stage_is_to_finish(make_run):
    run, found = make_run(), []
    for step in run.steps(4, counter=Counter()):
        if step == 2:
            run.finish("enough")
        found.append(run.last_step)
        run.commit(step, StatsTracker())
    assert found == [4, 4, 2]


@pytest.mark.parametrize("name", ["early_end", "sink.mine"])
def test_a_part_with_a_name_that_is_taken_is_refused(make_run, name):
    with pytest.raises(ValueError, match="cannot be called"):
        next(make_run().steps(1, **{name: Counter()}))
