"""Who takes part in a stage's checkpoints: each part of its loop that has a state, and its early end."""

import copy
import math
from collections.abc import Collection, Mapping
from typing import cast

from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.manifest import Verified
from burnish.platform.checkpoint.snapshot import Restored, Snapshot, Stateful
from burnish.platform.checkpoint.step_directory import SINK_PREFIX
from burnish.platform.errors import ComponentError

_STATE = ("save_state", "load_state")
_EARLY_END = "early_end"
"""Takes part under this name in the checkpoint that a stage ended early with, and in no other."""


class Participants:
    """The parts of a loop that are `Stateful`, saved and restored together."""

    def __init__(
        self, manager: CheckpointManager, parts: Mapping[str, object], sinks: Mapping[str, object]
    ) -> None:
        """Take the parts and sinks that are `Stateful`, by name; the others have nothing to keep.

        Raises `ComponentError` for one that has a half of the protocol, as its state would be lost in
        silence, and `ValueError` for a part with a name that is taken.
        """
        if taken := [name for name in parts if name == _EARLY_END or name.startswith(SINK_PREFIX)]:
            raise ValueError(f"a part of a loop cannot be called '{taken[0]}': the run's own part is")
        self._manager = manager
        self._parts = _stateful(parts)
        self._held: dict[str, object] = {}
        self._large: set[str] = set()
        self._sinks = _stateful({f"{SINK_PREFIX}{label}": sink for label, sink in sinks.items()})

    @property
    def are_none(self) -> bool:
        """Whether nothing has a state, so that there is no checkpoint to write."""
        return not self._parts and not self._sinks

    def may_be_due(self, step: int, last: int, metrics: Collection[str]) -> bool:
        """Return whether a checkpoint of `step` may be due, whatever the numbers of these metrics are."""
        bounds = (dict.fromkeys(metrics, bound) for bound in (math.inf, -math.inf))
        return any(self._manager.is_due(step, last, numbers) for numbers in bounds)

    def save(
        self, step: int, metrics: Mapping[str, float], early_end: str | None, records: Mapping[str, int]
    ) -> None:
        """Save the checkpoint of `step`, with the reason why the stage ends with it, if it does."""
        ending = {} if early_end is None else {_EARLY_END: _EarlyEnd(early_end)}
        self._manager.save(step, self._parts | self._sinks | ending, metrics, records)

    def hold(self) -> None:
        """Remember the state after a step, as far as it is cheap: see `rescue`."""
        self._held = {name: self._state_of(name, part) for name, part in self._parts.items()}

    def rescue(self, step: int, metrics: Mapping[str, float], records: Mapping[str, int]) -> bool:
        """Save the state that was held after `step`, and say whether that is still there.

        It is where every part with trees or files has its `state_version` of then; the others were copied.
        """
        snapshots = {name: sink.save_state() for name, sink in self._sinks.items()}
        for name, part in self._parts.items():
            held = self._held.get(name)
            if isinstance(held, Snapshot):
                snapshots[name] = held
            elif held is not None and held == _version_of(part):
                snapshots[name] = part.save_state()
            else:
                return False
        self._manager.save_snapshots(step, snapshots, metrics, records)
        self._manager.wait()
        return True

    def _state_of(self, name: str, part: Stateful) -> object:
        """Return a copy of a part's state, or its version where it has one; None for what is too large."""
        version = _version_of(part)
        if version is not None or name in self._large:
            return version
        snapshot = part.save_state()
        if snapshot.trees or snapshot.files:
            self._large.add(name)
            return None
        return Snapshot(json=copy.deepcopy(dict(snapshot.json)))

    def restore(self, checkpoint: Verified) -> tuple[int, str | None]:
        """Give every part the state it had; return the step, and why the stage ended with it, if it did.

        A sink that was not there begins anew. Raises `CheckpointError` where other parts were saved than
        there are now.
        """
        early_end = _EarlyEnd(None)
        step = self._manager.restore(checkpoint, self._parts, {**self._sinks, _EARLY_END: early_end})
        return step, early_end.reason


class _EarlyEnd:
    """Why a stage ended before its last step, as its checkpoint keeps it."""

    def __init__(self, reason: str | None) -> None:
        self.reason = reason

    def save_state(self) -> Snapshot:
        return Snapshot(json={"reason": self.reason})

    def load_state(self, restored: Restored) -> None:
        self.reason = str(restored.json["reason"])


def _version_of(part: object) -> object:
    return getattr(part, "state_version", None)


def _stateful(parts: Mapping[str, object]) -> dict[str, Stateful]:
    # `isinstance` of a protocol would not see the methods that a wrapper passes on by `__getattr__`.
    found = {
        name: [method for method in _STATE if callable(getattr(part, method, None))]
        for name, part in parts.items()
    }
    for name, methods in found.items():
        if len(methods) == 1:
            (missing,) = set(_STATE) - set(methods)
            raise ComponentError(
                f"`{name}` ({type(parts[name]).__name__}) has `{methods[0]}` and no `{missing}`: a part that "
                "takes part in checkpoints needs both, any other has neither"
            )
    return {name: cast("Stateful", parts[name]) for name, methods in found.items() if methods}
