"""The protocol of an engine: weights and requests in, completions out."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from burnish.llm.versioned_weights import Weights
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.request import Completion, Request


@runtime_checkable
class Engine(Protocol):
    """Completes prompts with the weights it was last given; owns how weights reach it."""

    @property
    def version(self) -> int:
        """Return the version of the weights in use; -1 before the first `update_weights`."""
        ...

    def update_weights(self, weights: Weights) -> None:
        """Use these for every later request and record their version in its completions.

        An engine of this process takes the tree as it is; one elsewhere lets `weights.export` write it out.
        """
        ...

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        ...

    def stats(self) -> StatsTracker:
        """Return what happened since the last call, and start counting anew."""
        ...
