"""The slot `model`: what a component is built from, and the model with parameters and tokenizer it builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from burnish.llm.families.protocol import CausalLM
from burnish.llm.model_source import ModelSource
from burnish.llm.tokenizer import Tokenizer, TokenizerComponent
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import built, conforming
from burnish.platform.configuration.registry import Provider
from burnish.platform.errors import ConfigError

Load = Callable[[Any], Any]
"""Makes or reads parameters anew: from a tree of likenesses (`jax.ShapeDtypeStruct`) to the arrays.

Each array has the dtype of its likeness, rounded from fp32, and lies as its sharding says; it is a numpy
array where it has none. Leaves may be absent, and are not read. Whoever calls it owns what it returns and may
donate it.
"""


@dataclass(frozen=True)
class Bundle:
    """A model, how to get its parameters, and the tokenizer it reads and writes with."""

    model: CausalLM
    tokenizer: Tokenizer
    source: str
    """Where the parameters come from, for the log."""

    load: Load = field(repr=False)

    check_params: Callable[[], None] = field(default=lambda: None, repr=False)
    """Raises what can be known of `load` before a run begins, without reading the parameters."""

    components: tuple[Provider, ...] = ()
    """What is found for the model and no config names, such as its family, for the record of a run."""

    origin: ModelSource | None = None
    """The files that are all of it, for checkpoints that name it; None where it is made otherwise."""


@dataclass(frozen=True, kw_only=True)
class ModelContext:
    """What a `model` component may use."""

    tokenizer: TokenizerComponent
    """The component that goes with the model; which directory it reads is the model's to say."""

    jax: JaxConfig | None = None
    """Devices and number formats of the run; None where there is no run."""

    seed: int = 0
    """The run's seed, for parameters that are not read."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class ModelComponent(Protocol):
    """Options of a model."""

    def build(self, context: ModelContext, /) -> Bundle:
        """Return the model with its tokenizer; nothing large is read yet."""
        ...

    def handed_over(self, directory: str, /) -> ModelComponent:
        """Return the model that an earlier stage left in `directory`, computed with the options of this."""
        ...


def load_bundle(model: ModelComponent, context: ModelContext) -> Bundle:
    """Return the bundle of a model component; ConfigError for a tokenizer of more ids than the model has."""
    conforming("model", model, model, ModelComponent)
    bundle = built("model", model, Bundle, context)
    conforming("model", model, bundle.model, CausalLM)
    conforming("tokenizer", context.tokenizer, bundle.tokenizer, Tokenizer)
    if bundle.tokenizer.vocab_size > bundle.model.vocab_size:
        raise ConfigError(
            f"tokenizer: it has {bundle.tokenizer.vocab_size} ids and the model from {bundle.source} only "
            f"{bundle.model.vocab_size}; use the tokenizer the model was trained with (tokenizer=auto), "
            "or set model.resize=mean_covariance"
        )
    return bundle
