"""How many programs were compiled, and for how long, as jax itself reports it."""

import threading
from typing import Any, NamedTuple

import jax.monitoring

from burnish.platform.activity import Activity, begin, end

_EVENT = "/jax/core/compile/backend_compile_duration"

_lock = threading.Lock()


class Compiles(NamedTuple):
    """A number of compiled programs and the seconds they took; a program found in the cache counts."""

    programs: int
    seconds: float


_total = Compiles(0, 0.0)
_under_way: list[Activity] = []
_is_listening = False


class CompileCounter:
    """Count the compiles between two readings; any number of counters share one listener per process."""

    def __init__(self) -> None:
        """Count from now on."""
        _listen()
        self._seen = _total

    def read(self) -> Compiles:
        """Return the compiles since the last reading, of whatever thread."""
        with _lock:
            seen, self._seen = self._seen, _total
            return Compiles(self._seen.programs - seen.programs, self._seen.seconds - seen.seconds)


def _listen() -> None:
    global _is_listening
    with _lock:
        if not _is_listening:
            jax.monitoring.register_scalar_listener(_begin)
            jax.monitoring.register_event_duration_secs_listener(_add)
            _is_listening = True


def _begin(event: str, value: float | int, **_: Any) -> None:  # noqa: ARG001 - jax calls it by name
    """Take note that a compile begins: jax reports the time of day then, under the event's name."""
    if event == _EVENT:
        with _lock:
            _under_way.append(begin("compile"))


def _add(event: str, duration_secs: float, **_: Any) -> None:
    global _total
    if event == _EVENT:
        with _lock:
            if _under_way:
                end(_under_way.pop())
            _total = Compiles(_total.programs + 1, _total.seconds + duration_secs)
