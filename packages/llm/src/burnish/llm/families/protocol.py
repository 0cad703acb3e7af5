"""The slot `family`: from a `config.json` to a causal LM, a hashable description with pure functions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from burnish.llm.families.layers import Compute
from burnish.llm.families.routing import RouterSums
from burnish.llm.families.tensor_name import TensorName
from burnish.llm.head import Head
from burnish.llm.noise import Noise
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig

Path = tuple[str, ...]
"""Where a leaf lies in the tree of parameters."""

LAYERS = "layers"
"""What the leaves of all layers lie below, stacked."""

EXPERTS = "experts"
"""The logical axis that counts the matrices of experts, and the outputs of a router."""


class MatrixDims(NamedTuple):
    """Which dims of a leaf are the input and which the output of its matrices; the others count matrices."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Output(NamedTuple):
    """What a forward pass gives."""

    hidden: Float[Array, "b t d"]
    """The final hidden states, normed."""
    cache: Any | None = None
    """What the model keeps of its tokens, rows first in each leaf; None where it was given none."""
    router: RouterSums | None = None
    """What the routers of its layers say of the tokens; None without experts, and beside a cache."""


@runtime_checkable
class CausalLM(Protocol):
    """A causal language model; hashable and equal when the computation is, so it can be a static argument.

    The parameters are a nested dict, whose leaves below `layers` are stacked `[l ...]`; what stands beside
    `layers` has the names that the family gives it. The computation runs in the dtype of the parameters,
    norms and softmax in fp32.
    """

    @property
    def vocab_size(self) -> int:
        """Number of token ids that it reads, and of the logits that its head gives of tokens."""
        ...

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        ...

    @property
    def hf_config(self) -> dict[str, Any]:
        """The `config.json` that describes the model."""
        ...

    @property
    def logical_axes(self) -> dict[str, Any]:
        """A tree like the parameters with a tuple of axis names in place of each leaf."""
        ...

    @property
    def parameter_names(self) -> Mapping[Path, TensorName | tuple[TensorName, ...]]:
        """Path of each leaf to its name in a Hugging Face checkpoint, or to those of what it is joined of."""
        ...

    @property
    def ignored_names(self) -> tuple[str, ...]:
        """Patterns (`fnmatch`) of the tensors that a checkpoint may hold beside these; they are not read."""
        ...

    @property
    def matrices(self) -> Mapping[Path, MatrixDims]:
        """Path of each leaf that holds matrices to their dims, as indices of the leaf's shape.

        A leaf `layers/attention/query [l d h k]` holds a matrix from d to h k per layer: `((1,), (2, 3))`.
        One of experts, `[l e d f]`, holds a matrix per layer and expert: `((2,), (3,))`. What is not in it
        is a vector: norms and biases, their heads apart or not. Optimizers decay what is in it. Those below
        `layers` are hidden matrices, the others embeddings and heads, which Muon leaves to AdamW.
        """
        ...

    def abstract(self, dtype: Any) -> dict[str, Any]:
        """Return the tree of `jax.ShapeDtypeStruct`s of the parameters."""
        ...

    def init(self, seed: int) -> dict[str, Any]:
        """Return fresh fp32 parameters in numpy, a function of `seed` alone."""
        ...

    def init_cache(self, rows: int, length: int, dtype: Any) -> Any:
        """Return an empty cache for `rows` sequences of up to `length` tokens."""
        ...

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
        """Return the final hidden states, and the cache with these tokens written to it.

        Segment 0 is padding. Without a cache a token attends to what stands before it in its row, has its
        segment id and is visible so far: key j is seen by query i when j <= i < `visible_until[j]`. With one,
        each row is one sequence: what is kept of a token is written at index `position` (padding is dropped)
        and a token attends to every index up to its position.

        With `noise` the embeddings, and what each attention and each MLP adds to them, lose entries: dropout
        as GPT-2 has it (`embd_pdrop`, `resid_pdrop`). Scoring and engines have none.

        `max_segments` bounds the segments of a row beside its padding, for the `Span` that attention is
        given; None where nobody knows.
        """
        ...

    def head(self, params: dict[str, Any]) -> Head:
        """Return what maps hidden states to logits."""
        ...


@runtime_checkable
class MultipliesAdapted(Protocol):
    """A model that can be given an `Adapted` in the place of some matrices, and forms no gradient of them.

    One that is not has its low-rank updates merged in the forward pass, which gives the same numbers.
    """

    @property
    def adapted_paths(self) -> Collection[Path]:
        """Path of each leaf that is multiplied by `burnish.llm.families.operations.project` alone."""
        ...


@runtime_checkable
class Balances(Protocol):
    """A model that may have experts, for whose balance training adds a loss of what `Output.router` says."""

    @property
    def balance_coefficient(self) -> float | None:
        """What the config makes of that loss, 0 where it does not ask for it; None without experts."""
        ...


@dataclass(frozen=True, kw_only=True)
class FamilyContext:
    """What a `family` component may use."""

    hf_config: Mapping[str, Any]
    """The `config.json` of the model."""

    jax: JaxConfig | None = None
    """Devices and number formats of the run; None where there is no run."""

    compute: Compute = field(default_factory=Compute)
    """How the model is computed."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class FamilyComponent(Protocol):
    """A family of models, made without options."""

    def match(self, hf_config: Mapping[str, Any], /) -> bool:
        """Say whether a `config.json` is of this family."""
        ...

    def build(self, context: FamilyContext, /) -> CausalLM:
        """Return the model of the `config.json`, computed in the dtype of its parameters."""
        ...
