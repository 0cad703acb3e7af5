import pytest

from burnish.platform.statistics.sinks import pace as module
from burnish.platform.statistics.sinks.pace import Pace


@pytest.fixture
def pace_after(monkeypatch):
    """Return what makes a pace after (step, seconds at its end, marks)."""

    def make(*rows):
        pace = Pace()
        for step, at, marks in rows:
            monkeypatch.setattr(module.time, "perf_counter", lambda at=at: at)
            pace.add(step, {"marks": marks})
        return pace

    return make


@pytest.mark.parametrize("rows", [[(0, 30.0, 0.0)], [(0, 30.0, 0.0), (1, 330.0, 8.0)], [(9, 300.0, 8.0)]])
def test_before_the_second_update_nothing_is_known(pace_after, rows):
    pace = pace_after(*rows)
    assert (pace.seconds_per_step(), pace.per_second("marks"), pace.to_go(100)) == (0.0, 0.0, "")


@pytest.mark.parametrize("rows", [[(0, 30.0, 0.0), (1, 330.0, 8.0)], [(1, 330.0, 8.0)]])
def test_the_first_update_compiles_and_does_not_count(pace_after, rows):
    pace = pace_after(*rows, (2, 332.0, 8.0), (3, 334.0, 8.0))
    assert pace.seconds_per_step() == 2.0
    assert pace.per_second("marks") == 4.0


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (0, ""),
        (1, "2 s to go"),
        (29, "58 s to go"),
        (63, "2 min 06 s to go"),
        (1800, "1 h 00 min to go"),
        (90000, "50 h 00 min to go"),
    ],
)
def test_time_to_go_is_told_in_words(pace_after, steps, told):
    pace = pace_after((1, 330.0, 0.0), (2, 332.0, 0.0))
    assert pace.to_go(steps) == told
