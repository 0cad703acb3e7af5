"""A model with low-rank updates beside some of its matrices, as a `CausalLM` of its own."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from burnish.llm.families.adapted import Adapted
from burnish.llm.families.parameters import nest
from burnish.llm.families.protocol import CausalLM, MatrixDims, MultipliesAdapted, Output, Path
from burnish.llm.families.tensor_name import TensorName
from burnish.llm.head import Head
from burnish.llm.lora.low_rank import ADAPTERS, AdapterLeaf, LowRank, Target, target_of
from burnish.llm.lora.values import fresh_factors, merged
from burnish.llm.noise import Noise
from burnish.llm.tensor_layout import leaf_at


@dataclass(frozen=True)
class AdaptedLM:
    """A model whose parameters are those of `base`, and `adapters` beside them.

    A matrix that the base multiplies by way of `burnish.llm.families.operations.project` is adapted beside
    the product. Any other is merged with its update in the forward pass: the numbers are the same, and the
    backward pass forms the gradient of the whole matrix on its way.
    """

    base: CausalLM
    low_rank: LowRank
    targets: tuple[Path, ...]

    @property
    def vocab_size(self) -> int:
        """Number of token ids that it reads."""
        return self.base.vocab_size

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.base.hidden_size

    @property
    def hf_config(self) -> dict[str, Any]:
        """The `config.json` of the base."""
        return self.base.hf_config

    @property
    def logical_axes(self) -> dict[str, Any]:
        """A tree like the parameters with a tuple of axis names in place of each leaf."""
        return {**self.base.logical_axes, **nest({path: leaf.axes for path, leaf in self.leaves.items()})}

    @property
    def parameter_names(self) -> Mapping[Path, TensorName | tuple[TensorName, ...]]:
        """Path of each leaf of the base to its name in a Hugging Face checkpoint."""
        return self.base.parameter_names

    @property
    def ignored_names(self) -> tuple[str, ...]:
        """Patterns of the tensors that are not read."""
        return self.base.ignored_names

    @property
    def matrices(self) -> Mapping[Path, MatrixDims]:
        """Path of each leaf that holds matrices to their dims, those of the updates too."""
        own = {path: leaf.matrix for path, leaf in self.leaves.items() if leaf.matrix is not None}
        return {**self.base.matrices, **own}

    @property
    def balance_coefficient(self) -> float | None:
        """What the config makes of the balance loss of its experts; None without experts."""
        return getattr(self.base, "balance_coefficient", None)

    @property
    def leaves(self) -> Mapping[Path, AdapterLeaf]:
        """Path of each leaf that is not of the base."""
        return _leaves(self)

    def abstract(self, dtype: Any) -> dict[str, Any]:
        """Return the tree of `jax.ShapeDtypeStruct`s of the parameters."""
        own = {path: leaf.abstract(dtype) for path, leaf in self.leaves.items()}
        return {**self.base.abstract(dtype), **nest(own)}

    def adapted_bytes(self, dtype: Any) -> int:
        """Return the bytes of the matrices that are adapted, which engines get anew at each update."""
        return sum(math.prod(target.shape) for target in _targets(self)) * jnp.dtype(dtype).itemsize

    def init(self, seed: int) -> dict[str, Any]:
        """Return fresh fp32 parameters in numpy, which compute what those of the base do."""
        return self.beside(self.base.init(seed), seed)

    def init_cache(self, rows: int, length: int, dtype: Any) -> Any:
        """Return an empty cache for `rows` sequences of up to `length` tokens."""
        return self.base.init_cache(rows, length, dtype)

    def forward(
        self,
        params: dict[str, Any],
        tokens: Int[Array, "b t"],
        positions: Int[Array, "b t"],
        segment_ids: Int[Array, "b t"],
        cache: Any | None = None,
        *,
        visible_until: Int[Array, "b t"] | None = None,
        noise: Noise | None = None,
        max_segments: int | None = None,
    ) -> Output:
        """Return the final hidden states, and the cache with these tokens written to it."""
        return self.base.forward(
            self._in_place(params),
            tokens,
            positions,
            segment_ids,
            cache,
            visible_until=visible_until,
            noise=noise,
            max_segments=max_segments,
        )

    def head(self, params: dict[str, Any]) -> Head:
        """Return what maps hidden states to logits."""
        return self.base.head(without_adapters(params))

    def beside(self, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return parameters of the base with fresh updates beside them, which change nothing yet."""
        return {**params, **nest(fresh_factors(_targets(self), self.low_rank, params, seed))}

    def merged(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the base with their updates in them; other leaves are the very same."""
        weights = {path: leaf_at(params, path) for path in self.targets}
        return replaced(without_adapters(params), self.merged_leaves(weights, params[ADAPTERS]))

    def merged_leaves(self, weights: Mapping[Path, Array], adapters: Mapping[str, Any]) -> dict[Path, Array]:
        """Return the matrices by path with their updates in them, each in its own dtype."""
        return {
            target.path: merged(target, self.low_rank, weights[target.path], leaf_at(adapters, target.path))
            for target in _targets(self)
        }

    def _in_place(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the base's tree with what each adapted matrix is multiplied as in its place."""
        taken = self.base.adapted_paths if isinstance(self.base, MultipliesAdapted) else ()
        made: dict[Path, Any] = {}
        for target in _targets(self):
            weight, beside = (leaf_at(tree, target.path) for tree in (params, params[ADAPTERS]))
            if target.path in taken and target.is_in_order:
                parts = {"magnitude": None, **beside}
                made[target.path] = Adapted(weight=weight, **parts, scale=self.low_rank.scale)
            else:
                made[target.path] = merged(target, self.low_rank, weight, beside)
        return replaced(without_adapters(params), made)


def without_adapters(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of the base, as they are."""
    return {name: part for name, part in params.items() if name != ADAPTERS}


def replaced(tree: Mapping[str, Any], leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Return nested dicts with other leaves at some paths; what lies beside them is shared."""
    copied = dict(tree)
    for key in {path[0] for path in leaves}:
        below = {path[1:]: leaf for path, leaf in leaves.items() if path[0] == key}
        copied[key] = below[()] if () in below else replaced(copied[key], below)
    return copied


@functools.cache
def _targets(model: AdaptedLM) -> tuple[Target, ...]:
    return tuple(target_of(model.base, path) for path in model.targets)


@functools.cache
def _leaves(model: AdaptedLM) -> dict[Path, AdapterLeaf]:
    return {
        (ADAPTERS, *target.path, name): leaf
        for target in _targets(model)
        for name, leaf in target.leaves(model.low_rank).items()
    }
