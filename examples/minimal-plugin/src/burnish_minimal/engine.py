"""An engine around another one that generates equal greedy requests once.

A greedy completion is a function of the prompt, the length it may have and the weights, so the answers are
those of the inner engine, bit for bit where its shapes are equal.
"""

from collections.abc import Sequence
from dataclasses import replace

from burnish.llm import Weights
from burnish.platform import StatsTracker
from burnish.sample import Completion, Engine, Request


class DeduplicatedEngine:
    """Passes weights through; of requests at temperature 0 that ask for the same, the first is generated."""

    def __init__(self, inner: Engine) -> None:
        """Wrap `inner`, which owns the weights."""
        self._inner = inner
        self._num_spared = 0

    @property
    def version(self) -> int:
        """Return the inner engine's version of the weights."""
        return self._inner.version

    def update_weights(self, weights: Weights) -> None:
        """Hand the weights to the inner engine."""
        self._inner.update_weights(weights)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        first: dict[object, Request] = {}
        for request in requests:
            first.setdefault(_what_is_asked(request), request)
        completions = self._inner.generate(list(first.values()))
        self._num_spared += len(requests) - len(first)
        by_question = dict(zip(first, completions, strict=True))
        return [replace(by_question[_what_is_asked(each)], request_id=each.id) for each in requests]

    def stats(self) -> StatsTracker:
        """Return the inner engine's statistics and how many requests it was spared."""
        stats = self._inner.stats()
        stats.sum("spared_requests", self._num_spared)
        self._num_spared = 0
        return stats


def _what_is_asked(request: Request) -> object:
    """Return equal things for requests that have one answer; a sampled request has its own."""
    if request.temperature > 0:
        return request.id
    return (tuple(request.prompt_tokens), request.max_new_tokens)
