"""The protocol of an engine: weights and requests in, completions out."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.request import Completion, Request


@runtime_checkable
class Engine(Protocol):
    """Completes prompts with the weights it was last given; owns how weights reach it."""

    @property
    def version(self) -> int:
        """Return the version of the weights in use; -1 before the first `update_weights`."""
        ...

    def update_weights(self, params: Any, version: int) -> None:
        """Use `params` for every later request and record `version` in its completions."""
        ...

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        ...

    def stats(self) -> StatsTracker:
        """Return what happened since the last call, and start counting anew."""
        ...
