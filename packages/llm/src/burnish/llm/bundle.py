"""A model with its parameters and tokenizer, from the source that the `model` component names."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from burnish.llm.config.family import Qwen2
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.export import export_facts
from burnish.llm.families.protocol import CausalLM
from burnish.llm.model_source import ModelSource, locate
from burnish.llm.tokenizer import Tokenizer
from burnish.llm.weights import load_huggingface
from burnish.platform.checkpoint.step_directory import read_tree
from burnish.platform.configuration.registry import available, resolve
from burnish.platform.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class Bundle:
    """A model, how to get its parameters, and the tokenizer it reads and writes with."""

    model: CausalLM
    tokenizer: Tokenizer
    source: str
    """Where the parameters come from, for the log."""

    load_params: Callable[[], dict[str, Any]] = field(repr=False)

    @property
    def params(self) -> dict[str, Any]:
        """The fp32 parameters in numpy, made or read anew at each access so that no copy is kept."""
        return self.load_params()


def load_bundle(model: Any, tokenizer: Any, jax_config: Any, seed: int) -> Bundle:
    """Return the bundle of a model component and a tokenizer component."""
    bundle = model.build(tokenizer=tokenizer, jax_config=jax_config, seed=seed)
    if bundle.tokenizer.vocab_size > bundle.model.vocab_size:
        raise ConfigError(
            f"tokenizer: it has {bundle.tokenizer.vocab_size} ids and the model from {bundle.source} only "
            f"{bundle.model.vocab_size}; use the tokenizer the model was trained with (tokenizer=auto)"
        )
    return bundle


def tiny_bundle(config: Tiny, tokenizer: Any, jax_config: Any, seed: int) -> Bundle:
    """Return a freshly initialized model whose vocabulary is the tokenizer's."""
    built: Tokenizer = tokenizer.build()
    model = Qwen2().build(
        tiny_hf_config(config, built), jax_config, remat=config.remat, scan_unroll=config.scan_unroll
    )
    return Bundle(model, built, f"tiny(seed={seed})", lambda: model.init(seed))


def tiny_hf_config(config: Tiny, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the `config.json` of the tiny model."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": "silu",
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "rms_norm_eps": config.rms_norm_eps,
        "initializer_range": config.initializer_range,
        "tie_word_embeddings": config.tie_word_embeddings,
        "max_position_embeddings": config.max_position_embeddings,
        "use_sliding_window": False,
        "eos_token_id": list(tokenizer.eos_token_ids),
        "pad_token_id": tokenizer.pad_token_id,
    }


def pretrained_bundle(config: Pretrained, tokenizer: Any, jax_config: Any) -> Bundle:
    """Return the model that `name_or_path` stands for, with the tokenizer beside it."""
    source = locate(config.name_or_path, config.revision)
    hf_config = read_hf_config(source.directory)
    family = find_family(hf_config, source.directory)
    model = family.build(hf_config, jax_config, remat=config.remat, scan_unroll=config.scan_unroll)
    built = tokenizer.build(directory=source.directory, trust_remote_code=config.trust_remote_code)
    _check_recorded(source, built)
    return Bundle(model, built, str(source.directory), lambda: _load_params(source, model))


def read_hf_config(directory: Path) -> dict[str, Any]:
    """Return a directory's `config.json`."""
    path = directory / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} does not read as JSON ({error}): restore the file") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object: restore the file")
    return content


def find_family(hf_config: Mapping[str, Any], directory: Path) -> Any:
    """Return the one installed family that matches; `ConfigError` lists what is installed."""
    families = {name: resolve("family", name)() for name in available("family")}
    matching = {name: family for name, family in families.items() if family.match(hf_config)}
    if len(matching) != 1:
        found = f"the families {sorted(matching)} all match" if matching else "no installed family matches"
        raise ConfigError(
            f"model.name_or_path: {found} model_type={hf_config.get('model_type')!r} in {directory}; "
            f"installed: {', '.join(sorted(families))}"
        )
    return next(iter(matching.values()))


def _check_recorded(source: ModelSource, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer other than the one the manifest records; what is not recorded is not compared."""
    facts = export_facts(tokenizer)
    recorded = {} if source.verified is None else source.verified.facts
    different = [name for name in facts if name in recorded and recorded[name] != facts[name]]
    if different:
        raise ConfigError(
            f"tokenizer: not the one that the model in {source.directory} was written with "
            f"({', '.join(different)} in its manifest differ); use the one beside it (tokenizer=auto)"
        )


def _load_params(source: ModelSource, model: CausalLM) -> dict[str, Any]:
    """Read safetensors, or a checkpoint's parameters, whose masters may be of either type."""
    if not source.is_checkpoint:
        return load_huggingface(source.directory, model)
    assert source.verified is not None, "a checkpoint is verified when it is found"
    try:
        return read_tree(source.verified, "params", like=model.abstract("float32"))
    except CheckpointError as error:
        try:
            halves = read_tree(source.verified, "params", like=model.abstract("bfloat16"))
        except CheckpointError:
            raise error from None
    return jax.tree.map(lambda leaf: leaf.astype("float32"), halves)
