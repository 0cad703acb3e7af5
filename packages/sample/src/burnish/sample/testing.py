"""What tests of a stage that samples would else copy: small components, an engine to interfere with.

For tests alone; nothing imports it at run time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from burnish.llm.config.export import HuggingFaceExport
from burnish.llm.config.model import Tiny
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.llm.testing import SMALL_MODEL
from burnish.llm.versioned_weights import Weights
from burnish.platform.data.source import DataComponent
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.config.engine import InProcess
from burnish.sample.config.evaluation import GreedyEvaluation
from burnish.sample.engine import Engine, EngineComponent, EngineContext
from burnish.sample.request import Completion, Request


def small_components(data: DataComponent, model: Tiny = SMALL_MODEL, slots: int = 4) -> dict[str, Any]:
    """Return the shared components of a stage by slot, the smallest there are, over some data."""
    return {
        "model": model,
        "tokenizer": AutoTokenizer(),
        "data": data,
        "engine": InProcess(slots=slots, decode_steps=4, prefill_rows=4, prefill_tokens=4),
        "evaluation": GreedyEvaluation(num_problems=6, every_steps=2, max_new_tokens=4),
        "export": HuggingFaceExport(),
    }


@dataclass(frozen=True)
class Around:
    """An engine component that hands another one's engine to `wrap`."""

    inner: EngineComponent
    wrap: Callable[[Engine], Engine]

    def build(self, context: EngineContext) -> Engine:
        """Return the wrapped engine."""
        return self.wrap(self.inner.build(context))


def _unchanged(params: Any) -> Any:
    return params


def _unseen(requests: Sequence[Request]) -> None:
    del requests


@dataclass(frozen=True, kw_only=True)
class InterferingEngine:
    """An engine around another one that changes the weights it is given and looks at what it is asked."""

    inner: Engine
    change: Callable[[Any], Any] = _unchanged
    look: Callable[[Sequence[Request]], None] = _unseen

    @property
    def version(self) -> int:
        """Return the inner engine's version of the weights."""
        return self.inner.version

    def update_weights(self, weights: Weights) -> None:
        """Hand changed weights to the inner engine."""
        self.inner.update_weights(replace(weights, tree=self.change(weights.tree)))

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Look at the requests and hand them on."""
        self.look(requests)
        return self.inner.generate(requests)

    def stats(self) -> StatsTracker:
        """Return the inner engine's statistics."""
        return self.inner.stats()
