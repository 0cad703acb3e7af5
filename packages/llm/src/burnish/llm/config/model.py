"""Where a model comes from: freshly initialized, or from files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, Positive, SmallCount
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.bundle import Bundle, ModelContext


QWEN2 = "burnish.llm.config.family:Qwen2"
"""What the tiny model is, whatever else is installed that matches its `config.json`."""


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A freshly initialized Qwen2 that trains within seconds on a laptop and needs no download."""

    hidden_size: Count = 64
    """Width of the residual stream."""

    num_layers: SmallCount = 2
    """Number of transformer layers."""

    num_heads: Count = 4
    """Number of query heads; divides `hidden_size`, and `num_kv_heads` divides it."""

    num_kv_heads: Count = 2
    """Number of key-value heads, each shared by `num_heads / num_kv_heads` query heads."""

    intermediate_size: Count = 192
    """Width of the gated MLP."""

    rope_theta: Positive = 100.0
    """Base of the rotary position frequencies; short texts want a small one."""

    rms_norm_eps: Positive = 1e-6
    """Added to the mean square in every norm."""

    initializer_range: Positive = 0.06
    """Standard deviation of the initial matrices and embeddings."""

    tie_word_embeddings: bool = True
    """Whether the output head is the embedding."""

    max_position_embeddings: Count = 1024
    """Longest text in tokens, written to the exported `config.json`."""

    remat: Literal["none", "dots", "attention", "full"] = "none"
    """What the backward pass computes again of a layer: nothing (`none`), all but products with parameters
    and what attention gives (`dots`), all but the latter (`attention`), or everything (`full`). Each takes
    less memory and more time than the one before. With `dots` and `attention`, `chunked` and `splash` attend
    once; `xla` computes its scores again, and `cudnn` its forward pass."""

    scan_unroll: Count | Literal["auto"] = "auto"
    """Layers per iteration of the compiled loop over layers; more compiles longer and runs faster, and all of
    them run without a loop. `auto` is all of up to 12 layers, and 1 of more."""

    attention: str = "auto"
    """What computes attention in training and scoring: the name of a kernel (`burnish describe attention`),
    an import path, or `auto` for one that suits device and length. Decoding reads a cache by none of them."""

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        check_options(self)
        if self.hidden_size % (2 * self.num_heads) or self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"hidden_size={self.hidden_size} must be a multiple of 2 * num_heads="
                f"{2 * self.num_heads}, and num_heads a multiple of num_kv_heads={self.num_kv_heads}"
            )

    def handed_over(self, directory: str) -> Pretrained:
        """Return the model that an earlier stage left in `directory`, computed with the options of this."""
        return Pretrained(
            name_or_path=directory,
            family=QWEN2,
            remat=self.remat,
            scan_unroll=self.scan_unroll,
            attention=self.attention,
        )

    def build(self, context: ModelContext) -> Bundle:
        """Return the model with its tokenizer; the parameters are a function of the seed alone."""
        from burnish.llm.attention_choice import attention_of
        from burnish.llm.families.layers import Compute
        from burnish.llm.tiny import tiny_bundle

        attention = attention_of(self.attention, context.jax, context.artifacts)
        return tiny_bundle(
            context,
            Compute(remat=self.remat, unroll=self.scan_unroll, attention=attention),
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads,
            intermediate_size=self.intermediate_size,
            rope_theta=self.rope_theta,
            rms_norm_eps=self.rms_norm_eps,
            initializer_range=self.initializer_range,
            tie_word_embeddings=self.tie_word_embeddings,
            max_position_embeddings=self.max_position_embeddings,
        )


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A model from a Hugging Face directory or hub name, or an export, checkpoint or run of burnish."""

    name_or_path: str
    """A directory (Hugging Face layout, export, checkpoint step or run), or a name on the hub."""

    revision: str = "main"
    """Branch, tag or commit of a hub name; without meaning for a directory."""

    family: str = "auto"
    """The family of the model: a name, an import path, or `auto` for the only one that matches."""

    trust_remote_code: bool = False
    """Whether a tokenizer may run code that its repository brings along."""

    resize: Literal["refuse", "mean_covariance"] = "refuse"
    """What becomes of a tokenizer with more ids than the model: it is refused, or the model gets a row for
    each, around the mean of those it has with a billionth of their covariance, as transformers does it."""

    remat: Literal["none", "dots", "attention", "full"] = "none"
    """What the backward pass computes again of a layer: nothing (`none`), all but products with parameters
    and what attention gives (`dots`), all but the latter (`attention`), or everything (`full`). Each takes
    less memory and more time than the one before. With `dots` and `attention`, `chunked` and `splash` attend
    once; `xla` computes its scores again, and `cudnn` its forward pass."""

    scan_unroll: Count | Literal["auto"] = "auto"
    """Layers per iteration of the compiled loop over layers; more compiles longer and runs faster, and all of
    them run without a loop. `auto` is all of up to 12 layers, and 1 of more."""

    attention: str = "auto"
    """What computes attention in training and scoring: the name of a kernel (`burnish describe attention`),
    an import path, or `auto` for one that suits device and length. Decoding reads a cache by none of them."""

    def __post_init__(self) -> None:
        """Refuse a model without a source."""
        check_options(self)
        if not self.name_or_path:
            raise ConfigError(
                "name_or_path= is required with model=pretrained: set it to a model directory, "
                "an earlier run's directory, or a Hugging Face hub name"
            )

    def handed_over(self, directory: str) -> Pretrained:
        """Return the model that an earlier stage left in `directory`, computed with the options of this."""
        return replace(self, name_or_path=directory)

    def build(self, context: ModelContext) -> Bundle:
        """Return the model that `name_or_path` stands for, with the tokenizer beside it."""
        from burnish.llm.attention_choice import attention_of
        from burnish.llm.families.layers import Compute
        from burnish.llm.model_source import locate
        from burnish.llm.pretrained import pretrained_bundle

        attention = attention_of(self.attention, context.jax, context.artifacts)
        return pretrained_bundle(
            locate(self.name_or_path, self.revision),
            context,
            trust_remote_code=self.trust_remote_code,
            family=self.family,
            grows=self.resize == "mean_covariance",
            compute=Compute(remat=self.remat, unroll=self.scan_unroll, attention=attention),
        )
