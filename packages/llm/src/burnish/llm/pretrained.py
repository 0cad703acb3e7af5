"""A model from files: its family found by its `config.json`, its parameters read when they are asked for."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.llm.attention_choice import providers_of
from burnish.llm.bundle import Bundle, Load, ModelContext
from burnish.llm.checkpoint_params import load_checkpoint
from burnish.llm.export import export_facts
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import CausalLM, FamilyContext
from burnish.llm.family_choice import AUTO, Family, find_family
from burnish.llm.json_object import read_object
from burnish.llm.lora.opening import Level, describing, levels_of, source_with
from burnish.llm.model_source import CONFIG, ModelSource
from burnish.llm.tokenizer import Tokenizer, TokenizerContext, build_tokenizer
from burnish.llm.tokenizer_files import TOKENIZER_FILES
from burnish.llm.vocabulary import grown
from burnish.llm.weights import check_huggingface, load_huggingface
from burnish.platform.configuration.conformance import built
from burnish.platform.errors import ConfigError, placed


def pretrained_bundle(
    source: ModelSource,
    context: ModelContext,
    *,
    trust_remote_code: bool,
    compute: Compute,
    family: str = AUTO,
    head: Callable[[CausalLM], CausalLM] | None = None,
    grows: bool = False,
) -> Bundle:
    """Return the model of these files, with the tokenizer beside it.

    `family` names one, or `auto`; `head` gives the model another head, as `scalar_head` does. Where it
    `grows` it has as many token ids as the tokenizer.
    """
    levels = levels_of(source)
    hf_config, found = _described(levels, family)

    def model_of(config: Mapping[str, Any]) -> CausalLM:
        given = FamilyContext(hf_config=config, jax=context.jax, compute=compute, artifacts=context.artifacts)
        with placed(f"model.name_or_path={source.directory}"):
            model = built("family", found.component, CausalLM, given)
        return model if head is None else head(model)

    model = model_of(hf_config)
    tokenizer = _tokenizer(source_with(levels, *TOKENIZER_FILES), context, trust_remote_code)
    bundle = Bundle(
        model,
        tokenizer,
        str(source.directory),
        load=_load_of(levels, model),
        check_params=lambda: _check_params(levels, model),
        components=(found.provider, *providers_of(compute.attention)),
        origin=levels[0].source,
    )
    if not grows or tokenizer.vocab_size <= model.vocab_size:
        _check_recorded(source, tokenizer)
        return bundle
    _check_recorded(source, tokenizer, may_differ=("tokenizer",))
    return grown(bundle, model_of({**hf_config, "vocab_size": tokenizer.vocab_size}), context.seed)


def _described(levels: Sequence[Level], family: str) -> tuple[Mapping[str, Any], Family]:
    """Return the `config.json` of a model and the family that it is of."""
    directory = describing(levels).directory
    hf_config = read_object(directory / CONFIG)
    return hf_config, find_family(hf_config, directory, family)


def _tokenizer(source: ModelSource, context: ModelContext, trust_remote_code: bool) -> Tokenizer:
    return build_tokenizer(
        context.tokenizer,
        TokenizerContext(
            directory=source.directory, trust_remote_code=trust_remote_code, artifacts=context.artifacts
        ),
    )


def _check_recorded(source: ModelSource, tokenizer: Tokenizer, may_differ: Sequence[str] = ()) -> None:
    """Refuse a tokenizer other than the one the manifest records; what is not recorded is not compared."""
    recorded = {} if source.verified is None else source.verified.facts
    facts = {name: fact for name, fact in export_facts(tokenizer).items() if name not in may_differ}
    different = [name for name in facts if name in recorded and recorded[name] != facts[name]]
    if different:
        raise ConfigError(
            f"tokenizer: not the one that the model in {source.directory} was written with "
            f"({', '.join(different)} in its manifest differ); use the one beside it (tokenizer=auto)"
        )


def _check_params(levels: Sequence[Level], model: CausalLM) -> None:
    """Hold the files against the config; those that a manifest vouches for are as we have written them."""
    for level in levels:
        if level.source.verified is None and level.updates is None:
            check_huggingface(level.source.directory, model)
        elif level.source.verified is None and level.updates is not None:
            level.updates.read(model)


def _load_of(levels: Sequence[Level], model: CausalLM) -> Load:
    """Return the load of the lowest level's parameters with the updates of all above it, and its own."""
    load: Load = functools.partial(_load, levels[-1].source, model)
    for level in reversed(levels):
        load = load if level.updates is None else level.updates.onto(load, model)
    return load


def _load(source: ModelSource, model: CausalLM, like: Any) -> dict[str, Any]:
    """Read safetensors, or a checkpoint's parameters."""
    if source.verified is None or not source.is_checkpoint:
        return load_huggingface(source.directory, model, like)
    return load_checkpoint(source.verified, model, like)
