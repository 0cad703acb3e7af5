"""The clock that all systems share: which calls count, and which are made again."""

import sys
from dataclasses import dataclass

import pytest

pytestmark = pytest.mark.fast


@dataclass(frozen=True)
class Calls:
    num_warm_up: int = 1
    num_timed: int = 3


@pytest.fixture
def measurement(benchmark_module, monkeypatch):
    """Return the module with a command line that allows others `cores`."""

    def allowing(cores):
        monkeypatch.setattr(sys, "argv", ["system", "sft-2k", "cpu", str(cores)])
        return benchmark_module("measurement")

    return allowing


def test_time_calls_when_all_is_allowed_then_times_each_call_once(measurement):
    indices = []
    timing = measurement("inf").time_calls(indices.append, Calls())
    assert indices == [1, 2, 3]
    assert len(timing.seconds) == len(timing.cpu_seconds) == len(timing.other_cores) == 3
    assert timing.disturbed_calls == 0


def test_time_calls_when_no_call_is_quiet_then_gives_up(measurement, monkeypatch):
    indices = []
    module = measurement(-1.0)
    monkeypatch.setattr(module._wait_for_quiet, "__defaults__", (0.001, 1))
    with pytest.raises(TimeoutError, match="60 calls"):
        module.time_calls(indices.append, Calls())
    assert set(indices) == {1, 2, 3}
