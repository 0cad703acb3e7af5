"""A causal language model with one score per token in place of logits: a critic, or a reward model."""

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int

from burnish.llm.families.protocol import Balances, CausalLM, MatrixDims, MultipliesAdapted, Output, Path
from burnish.llm.families.tensor_name import TensorName
from burnish.llm.head import Head
from burnish.llm.noise import Noise

HEAD = "head"
"""The leaf of the row that hidden states are multiplied with, `[1 d]`."""
CAUSAL, CLASSIFIER = "ForCausalLM", "ForSequenceClassification"
"""How transformers names the two kinds of models."""


def scalar_head(model: CausalLM, name: str = "score.weight") -> CausalLM:
    """Return the model with a head `[d 1]` of its own, which the checkpoint calls `name`.

    All parameters but the head are those of `model`; the head is never tied. A score is
    `hidden @ head`, without cap and bias: entry 0 of `model.head(params).logits(hidden)`. Its directories are
    those of transformers' `*ForSequenceClassification` with `num_labels=1`, which takes the score of the last
    token. `vocab_size` stays the number of token ids that the model reads, which a tokenizer has to fit.

    An objective over it reads `policy.hidden` and `policy.head`: there are no logits of tokens, so
    log-probabilities, entropies and engines have nothing to work with.
    """
    return ScalarHead(model, name)


@dataclass(frozen=True)
class ScalarHead:
    """What `scalar_head` returns; see `burnish.llm.families.protocol.CausalLM`."""

    base: CausalLM
    name: str

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
        """The `config.json` of a classifier with one label."""
        config = self.base.hf_config
        causal = config.get("architectures") or []
        names = [name.replace(CAUSAL, CLASSIFIER) for name in causal]
        labels = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
        return {**config, "architectures": names, **labels}

    @property
    def logical_axes(self) -> dict[str, Any]:
        """A tree like the parameters with a tuple of axis names in place of each leaf."""
        return {**self.base.logical_axes, HEAD: ("scores", "embed")}

    @property
    def parameter_names(self) -> Mapping[Path, TensorName | tuple[TensorName, ...]]:
        """Path of each leaf to its name in a Hugging Face checkpoint."""
        return {**self.base.parameter_names, (HEAD,): TensorName(self.name)}

    @property
    def matrices(self) -> Mapping[Path, MatrixDims]:
        """Path of each leaf that holds matrices to their dims; the head is one too."""
        return {**self.base.matrices, (HEAD,): MatrixDims((1,), (0,))}

    @property
    def ignored_names(self) -> tuple[str, ...]:
        """Patterns of the tensors that are not read."""
        return self.base.ignored_names

    @property
    def adapted_paths(self) -> Collection[Path]:
        """Path of each leaf of the base that may be adapted beside its product."""
        return self.base.adapted_paths if isinstance(self.base, MultipliesAdapted) else ()

    @property
    def balance_coefficient(self) -> float | None:
        """What the config makes of the balance loss of its experts; None without experts."""
        return self.base.balance_coefficient if isinstance(self.base, Balances) else None

    def abstract(self, dtype: Any) -> dict[str, Any]:
        """Return the tree of `jax.ShapeDtypeStruct`s of the parameters."""
        return {**self.base.abstract(dtype), HEAD: jax.ShapeDtypeStruct((1, self.hidden_size), dtype)}

    def init(self, seed: int) -> dict[str, Any]:
        """Return fresh fp32 parameters in numpy; the head is drawn as wide as the config says of matrices."""
        generator = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        row = generator.standard_normal((1, self.hidden_size), dtype=np.float32)
        scale = np.float32(self.base.hf_config.get("initializer_range", 0.02))
        return {**self.base.init(seed), HEAD: row * scale}

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
            params,
            tokens,
            positions,
            segment_ids,
            cache,
            visible_until=visible_until,
            noise=noise,
            max_segments=max_segments,
        )

    def head(self, params: dict[str, Any]) -> Head:
        """Return what maps hidden states to their one score."""
        return Head(matrix=params[HEAD].T)
