"""The slot `engine`: weights and requests in, completions out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jax.sharding import Mesh

from burnish.llm.families.protocol import CausalLM
from burnish.llm.tokenizer import Tokenizer
from burnish.llm.versioned_weights import Weights
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import departure
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


def complete(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    """Return an engine's completions; ComponentError where they are not one for each request in order."""
    completions: object = engine.generate(requests)
    if not isinstance(completions, Sequence):
        what = f"returns a {type(completions).__name__} for a list of completions"
        raise departure("engine", engine, what, Engine, "generate")
    if len(completions) != len(requests):
        what = f"returns {len(completions)} completions for {len(requests)} requests"
        raise departure("engine", engine, what, Engine, "generate")
    for request, completion in zip(requests, completions, strict=True):
        if not isinstance(completion, Completion):
            what = f"returns a {type(completion).__name__} for a completion"
            raise departure("engine", engine, what, Engine, "generate")
        if completion.request_id != request.id:
            what = f"answers request {request.id} with the completion of request {completion.request_id}"
            raise departure("engine", engine, what, Engine, "generate")
    return completions


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """The largest request that an engine will be asked for."""

    max_tokens: int
    """Tokens of prompt and completion together."""


@dataclass(frozen=True, kw_only=True)
class EngineContext:
    """What an `engine` component may use."""

    model: CausalLM
    """The model whose weights `update_weights` brings."""

    tokenizer: Tokenizer
    """What the model reads and writes with; an engine itself sees ids only."""

    mesh: Mesh
    """The devices of the run."""

    limits: EngineLimits
    """What there has to be room for."""

    jax: JaxConfig = field(default_factory=JaxConfig)
    """Devices and number formats of the run."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class EngineComponent(Protocol):
    """Options of an engine."""

    def build(self, context: EngineContext, /) -> Engine:
        """Return the engine, which waits for `update_weights` before it can generate."""
        ...
