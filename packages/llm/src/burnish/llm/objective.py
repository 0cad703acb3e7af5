"""What is trained: an objective maps a policy and a batch to values per token or sequence, never to a mean.

The step multiplies the values by `batch.weights` and sums them, over micro-batches and devices; how tokens
are averaged is in the weights alone. The cross-entropy objective stands here; those of reinforcement learning
are components of their own package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from burnish.llm.batch import TokenBatch
from burnish.llm.policy import Policy
from burnish.llm.sequence import Sample
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import built, departure
from burnish.platform.configuration.registry import maker_of
from burnish.platform.device.randomness import KeyWords
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.kinds import Maximum

ARRAY = "an array"

Statistics = Mapping[str, "tuple[Any, Any] | Maximum"]
"""Name to (sum, count), whose quotient is reported, or to a `Maximum`."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveContext:
    """What an objective may be built from."""

    jax: JaxConfig
    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class ObjectiveComponent(Protocol):
    """The options of an objective.

    `max_updates_per_rollout`, where it stands on the component, is the number of updates that samples of one
    policy are good for; without it there is no bound.
    """

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        ...


@runtime_checkable
class Objective(Protocol):
    """A hashable callable traced inside the step; equal objectives share one compiled step.

    Two facts may stand on it, and a function without them has none: `columns`, the names of the sample
    columns that it reads, and `scalars`, its coefficients that may move from step to step.
    """

    def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, ...], Statistics]:
        """Return the values to minimize, [b t] per token or [b s] per sequence, and statistics.

        A value must be finite also where its weight is 0.
        """
        ...


def build_objective(component: ObjectiveComponent, context: ObjectiveContext) -> Objective:
    """Return what a component builds; ComponentError where it cannot be called."""
    return built("objective", component, Objective, context)


def columns_of(objective: Objective) -> frozenset[str]:
    """Return the sample columns that an objective reads."""
    return frozenset(getattr(objective, "columns", ()))


def columns_for(objective: Objective, samples: Sequence[Sample]) -> list[str]:
    """Return the names of the columns that a batch of these samples has to carry for an objective.

    Raises `ConfigError` for one that a sample lacks.
    """
    names = columns_of(objective)
    for sample in samples:
        if missing := sorted(names - sample.columns.keys()):
            raise ConfigError(_lacks(objective, missing[0], sample.columns))
    return sorted(names)


def scalars_of(objective: Objective) -> Mapping[str, float]:
    """Return an objective's coefficients that may move, with what they begin with."""
    return getattr(objective, "scalars", {})


def as_trained(batch: TokenBatch, objective: Objective, key_words: KeyWords | None) -> TokenBatch:
    """Return a batch with all that an update reads beside its rows: coefficients, and the words of noise.

    Coefficients and words that the batch has of its own stay, words only where `key_words` is None.
    """
    words = batch.noise_words if key_words is None else np.array(key_words, np.uint32)
    return replace(batch, scalars={**scalars_of(objective), **batch.scalars}, noise_words=words)


def cross_entropy(policy: Policy, batch: TokenBatch) -> tuple[Float32[Array, "b t"], Statistics]:
    """Return -log p of each token, and its mean over the trained tokens as a statistic."""
    values = -policy.logprobs()
    trained = batch.trained
    return values, {"cross_entropy": (jnp.sum(values * trained), jnp.sum(trained))}


def evaluate(
    objective: Objective, policy: Policy, batch: TokenBatch
) -> tuple[Float32[Array, ""], Statistics]:
    """Return the loss of a batch and the objective's statistics; raises what `outputs_of` does."""
    values, statistics = outputs_of(objective, policy, batch)
    return weighted_sum(values, batch), statistics


def outputs_of(
    objective: Objective, policy: Policy, batch: TokenBatch
) -> tuple[Float[Array, ...], Statistics]:
    """Return an objective's values and statistics, held against what `Objective` says.

    Raises `ConfigError` where it reads a column that no sample carries, or returns values of a shape that has
    no weights, which is the config's mistake, and `ComponentError` for what no objective may return.
    """
    try:
        returned: Any = objective(policy, replace(batch, columns=_Columns(batch.columns)))
    except _MissingColumnError as error:
        raise ConfigError(_lacks(objective, str(error.args[0]), batch.columns)) from error
    if not (isinstance(returned, tuple) and len(returned) == 2):
        what = f"returns {_kind(returned)} and not (values, statistics)"
        raise departure("objective", objective, what, Objective, "__call__")
    values, statistics = returned
    if _kind(values) != ARRAY or not isinstance(statistics, Mapping):
        what = f"returns {_kind(values)} and {_kind(statistics)}, no array and mapping"
        raise departure("objective", objective, what, Objective, "__call__")
    for name, statistic in statistics.items():
        if not (isinstance(statistic, Maximum) or (isinstance(statistic, tuple) and len(statistic) == 2)):
            what = f"returns the statistic '{name}', which is neither (sum, count) nor a Maximum"
            raise departure("objective", objective, what, Objective, "__call__")
    _is_per_token(values, batch, f"{name_of(objective)}{maker_of(objective)}")
    return values, statistics


def _kind(value: object) -> str:
    return ARRAY if isinstance(value, jax.Array | np.ndarray) else f"a {type(value).__name__}"


def weighted_sum(
    values: Float[Array, ...], batch: TokenBatch, name: str = "the objective"
) -> Float32[Array, ""]:
    """Return sum(values * weights) in fp32; a sequence weighs what its tokens weigh together."""
    weights = batch.weights
    if not _is_per_token(values, batch, name):
        members = jax.nn.one_hot(batch.sequences - 1, batch.max_sequences, dtype=jnp.float32)
        weights = jnp.einsum("bt,bts->bs", batch.weights, members, precision=jax.lax.Precision.HIGHEST)
    return jnp.sum(jnp.where(weights != 0, values.astype(jnp.float32) * weights, 0))


def _is_per_token(values: Float[Array, ...], batch: TokenBatch, name: str) -> bool:
    """Say whether values are per token, False where per sequence; ConfigError where they are neither."""
    rows, length = batch.tokens.shape
    if values.shape not in {(rows, length), (rows, batch.max_sequences)}:
        raise ConfigError(
            f"objective: {name} returns values of shape {values.shape}; legal are one per token "
            f"{(rows, length)} or per sequence {(rows, batch.max_sequences)}, as policy.per_sequence gives"
        )
    return values.shape == (rows, length)


def name_of(objective: Objective) -> str:
    """Return what to call an objective in a message."""
    return objective.__name__ if isinstance(objective, FunctionType) else repr(objective)


class _MissingColumnError(KeyError):
    """A column that the batch does not have, told apart from every other key that an objective may miss."""


@jax.tree_util.register_pytree_with_keys_class
class _Columns(dict[str, Any]):
    """The columns of a batch while an objective reads them."""

    def __missing__(self, name: str) -> Any:
        raise _MissingColumnError(name)

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        names = tuple(sorted(self))
        return [(jax.tree_util.DictKey(name), self[name]) for name in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Sequence[Any]) -> _Columns:
        return cls(zip(names, values, strict=True))


def _lacks(objective: Objective, column: str, there: Iterable[str]) -> str:
    return (
        f"objective: {name_of(objective)} needs the batch column '{column}', and this stage fills only "
        f"{', '.join(sorted(there))}; choose an objective of this stage, such as its default"
    )
