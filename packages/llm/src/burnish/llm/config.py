"""The options of every component of this package, importable without jax.

A dataclass here holds defaults, documents each option and refuses what cannot work; `build` imports the code
that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from jax.sharding import Mesh

    from burnish.llm.bundle import Bundle
    from burnish.llm.export import HuggingFaceWriter
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.objective import Objective
    from burnish.llm.optimizer import ScheduledOptimizer
    from burnish.llm.tokenizer import Tokenizer
    from burnish.llm.training import JaxTrainingBackend
    from burnish.platform.config import JaxConfig, MeshConfig


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A freshly initialised Qwen2 that trains within seconds on a laptop and needs no download."""

    hidden_size: int = 64
    """Width of the residual stream."""

    num_layers: int = 2
    """Number of transformer layers."""

    num_heads: int = 4
    """Number of query heads; divides `hidden_size`, and `num_kv_heads` divides it."""

    num_kv_heads: int = 2
    """Number of key-value heads, each shared by `num_heads / num_kv_heads` query heads."""

    intermediate_size: int = 192
    """Width of the gated MLP."""

    rope_theta: float = 100.0
    """Base of the rotary position frequencies; short texts want a small one."""

    rms_norm_eps: float = 1e-6
    """Added to the mean square in every norm."""

    initializer_range: float = 0.06
    """Standard deviation of the initial matrices and embeddings."""

    tie_word_embeddings: bool = True
    """Whether the output head is the embedding."""

    max_position_embeddings: int = 1024
    """Longest text in tokens, written to the exported `config.json`."""

    remat: Literal["none", "dots", "full"] = "none"
    """What the backward pass recomputes: nothing, all but matrix products, or every layer."""

    scan_unroll: int = 2
    """Layers per iteration of the compiled loop over layers; more compiles longer and may run faster."""

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        if self.hidden_size % (2 * self.num_heads) or self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"`model`: hidden_size={self.hidden_size} must be a multiple of 2 * num_heads="
                f"{2 * self.num_heads}, and num_heads a multiple of num_kv_heads={self.num_kv_heads}"
            )

    def handed_over(self, directory: str) -> Pretrained:
        """Return the model that an earlier stage left in `directory`, computed with the options of this."""
        return Pretrained(name_or_path=directory, remat=self.remat, scan_unroll=self.scan_unroll)

    def build(self, tokenizer: Any, jax_config: JaxConfig | None, seed: int) -> Bundle:
        """Return the model with its tokenizer; the parameters are a function of `seed` alone."""
        from burnish.llm.bundle import tiny_bundle

        return tiny_bundle(self, tokenizer, jax_config, seed)


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A model from a Hugging Face directory or hub name, or an export, checkpoint or run of burnish."""

    name_or_path: str
    """A directory (Hugging Face layout, export, checkpoint step or run), or a name on the hub."""

    revision: str = "main"
    """Branch, tag or commit of a hub name; without meaning for a directory."""

    trust_remote_code: bool = False
    """Whether a tokenizer may run code that its repository brings along."""

    remat: Literal["none", "dots", "full"] = "none"
    """What the backward pass recomputes: nothing, all but matrix products, or every layer."""

    scan_unroll: int = 2
    """Layers per iteration of the compiled loop over layers; more compiles longer and may run faster."""

    def __post_init__(self) -> None:
        """Refuse a model without a source."""
        if not self.name_or_path:
            raise ConfigError(
                "`model.name_or_path` is required with model=pretrained: set it to a model directory, "
                "an earlier run's directory, or a Hugging Face hub name"
            )

    def handed_over(self, directory: str) -> Pretrained:
        """Return the model that an earlier stage left in `directory`, computed with the options of this."""
        return replace(self, name_or_path=directory)

    def build(self, tokenizer: Any, jax_config: JaxConfig | None, seed: int) -> Bundle:
        """Return the model with its tokenizer; nothing is random, `seed` is not used."""
        del seed
        from burnish.llm.bundle import pretrained_bundle

        return pretrained_bundle(self, tokenizer, jax_config)


@dataclass(frozen=True, kw_only=True)
class AutoTokenizer:
    """The tokenizer that belongs to the model: the files beside its weights, or bytes for the tiny one."""

    def build(self, directory: Path | None = None, trust_remote_code: bool = False) -> Tokenizer:
        """Return the tokenizer saved in `directory`, or the byte tokenizer when there is none."""
        from burnish.llm.tokenizer import load_tokenizer

        return load_tokenizer(directory, trust_remote_code=trust_remote_code)


@dataclass(frozen=True, kw_only=True)
class ByteTokenizer:
    """One token per byte of UTF-8 and four special ones: 260 ids, no download."""

    def build(self, directory: Path | None = None, trust_remote_code: bool = False) -> Tokenizer:
        """Return the byte tokenizer, whatever the model's directory holds."""
        del directory, trust_remote_code
        from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes

        return Bytes()


@dataclass(frozen=True, kw_only=True)
class Qwen2:
    """The dense Qwen2 and Qwen2.5 models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "qwen2"

    def build(
        self,
        hf_config: Mapping[str, Any],
        jax_config: JaxConfig | None = None,
        *,
        remat: Literal["none", "dots", "full"] = "none",
        scan_unroll: int = 1,
    ) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        del jax_config
        from burnish.llm.families.qwen2 import from_hf_config

        return from_hf_config(hf_config, remat=remat, scan_unroll=scan_unroll)


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW with a learning-rate schedule."""

    learning_rate: float = 1e-5
    """Peak learning rate."""

    schedule: Literal["constant", "linear", "cosine", "warmup_stable_decay"] = "cosine"
    """What follows the warm-up: hold, decay to zero (linear or cosine), or hold and decay at the end."""

    warmup_steps: int = 0
    """Optimizer steps over which the rate rises linearly, from 1 / (warmup_steps + 1) of the peak."""

    decay_fraction: float = 0.5
    """Share of all steps in which `warmup_stable_decay` decays; the others ignore it."""

    b1: float = 0.9
    """Decay of the first moment."""

    b2: float = 0.999
    """Decay of the second moment."""

    eps: float = 1e-8
    """Added to the root of the second moment."""

    weight_decay: float = 0.0
    """Decoupled weight decay of matrices, per unit of learning rate; norms and biases do not decay."""

    def __post_init__(self) -> None:
        """Refuse rates and decays out of range."""
        _check("optimizer.learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        _check("optimizer.warmup_steps", self.warmup_steps, self.warmup_steps >= 0, "0 or more")
        _check("optimizer.decay_fraction", self.decay_fraction, 0 <= self.decay_fraction <= 1, "0 to 1")
        _check("optimizer.b1", self.b1, 0 <= self.b1 < 1, "0 to below 1")
        _check("optimizer.b2", self.b2, 0 <= self.b2 < 1, "0 to below 1")
        _check("optimizer.eps", self.eps, self.eps > 0, "above 0")
        _check("optimizer.weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")

    def build(self, total_steps: int) -> ScheduledOptimizer:
        """Return the gradient transformation and its schedule over `total_steps` optimizer steps."""
        from burnish.llm.optimizer import build_adamw

        return build_adamw(self, total_steps)


@dataclass(frozen=True, kw_only=True)
class JaxTraining:
    """The training step on the devices of this run, one jit per optimizer step."""

    micro_batch_rows: int | Literal["all"] = "all"
    """Rows per forward and backward pass; changes memory and speed, never the result."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; `.inf` leaves them as they are."""

    logprob_chunk: int = 1024
    """Positions whose logits exist at one time."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        rows = self.micro_batch_rows
        _check("training.micro_batch_rows", rows, rows == "all" or rows >= 1, "1 or more, or all")
        _check("training.max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "above 0")
        _check("training.logprob_chunk", self.logprob_chunk, self.logprob_chunk >= 1, "1 or more")

    def check(self, num_rows: int, mesh: MeshConfig) -> None:
        """Refuse batches of `num_rows` rows that do not divide into micro-batches and devices."""
        from burnish.llm.training import check_rows

        check_rows(num_rows, self.micro_batch_rows, mesh.dp * mesh.fsdp)

    def build(
        self,
        *,
        model: CausalLM,
        params: Any,
        optimizer: Any,
        total_steps: int,
        mesh: Mesh,
        jax_config: JaxConfig,
        tokenizer: Tokenizer | None = None,
    ) -> JaxTrainingBackend:
        """Return the backend with `params` as masters; `optimizer` is the component, not what it builds."""
        from burnish.llm.training import JaxTrainingBackend

        return JaxTrainingBackend(
            self,
            model=model,
            params=params,
            optimizer=optimizer,
            total_steps=total_steps,
            mesh=mesh,
            jax_config=jax_config,
            tokenizer=tokenizer,
        )


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Negative log-likelihood of each trained token."""

    def build(self, **_: Any) -> Objective:
        """Return the objective; it needs nothing of what others are built with, such as a temperature."""
        from burnish.llm.objective import cross_entropy

        return cross_entropy


@dataclass(frozen=True, kw_only=True)
class HuggingFaceExport:
    """Weights, configuration and tokenizer in a directory that transformers and burnish both read."""

    dtype: Literal["compute", "float32", "bfloat16"] = "compute"
    """Type of the written weights; `compute` is `jax.compute_dtype`, what was evaluated."""

    def build(self, jax_config: JaxConfig) -> HuggingFaceWriter:
        """Return the writer."""
        from burnish.llm.export import HuggingFaceWriter

        dtype = jax_config.compute_dtype if self.dtype == "compute" else self.dtype
        return HuggingFaceWriter(dtype=dtype)


def _check(name: str, value: object, is_legal: bool, legal: str) -> None:
    if not is_legal:
        raise ConfigError(f"`{name}={value}` is out of range; legal: {legal}")
