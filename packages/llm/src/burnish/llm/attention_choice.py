"""From the word in `model.attention` to what a model is given to compute its attention with."""

from __future__ import annotations

from functools import partial

import jax

from burnish.llm.families.protocol import CausalLM
from burnish.llm.kernels.choice import AttentionChoice, Auto, Decision, Named, heard
from burnish.llm.kernels.probe import LENGTH, ROWS
from burnish.llm.kernels.protocol import Attention, AttentionComponent, AttentionContext
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import built
from burnish.platform.configuration.registry import Provider, provider, resolve
from burnish.platform.errors import BurnishError, ComponentError, ConfigError

AUTO = "auto"
"""The word for the kernel that suits a case best."""


def attention_of(word: str, config: JaxConfig | None, artifacts: Artifacts) -> AttentionChoice:
    """Return the choice that a word stands for: a kernel by its name or import path, or `auto`.

    Raises:
        ComponentError: the kernel is unknown, or is none.
    """
    num_devices = 1 if config is None else config.mesh.num_devices
    if word == AUTO:
        return Auto(num_devices)
    try:
        return Named(word, kernel_of(word, AttentionContext(jax=config, artifacts=artifacts)), num_devices)
    except BurnishError as error:
        raise ComponentError(f"model.attention={word}: {error}; or set it to auto") from error


def kernel_of(word: str, context: AttentionContext | None = None) -> Attention:
    """Return the kernel of a name or an import path; ComponentError where there is none."""
    return built("attention", _component(word), Attention, context or AttentionContext())


def providers_of(choice: AttentionChoice) -> tuple[Provider, ...]:
    """Return who provides the kernel that is named, for the record of a run; nobody where none is."""
    return (provider("attention", choice.word),) if isinstance(choice, Named) else ()


def decisions_for(model: CausalLM, dtype: str) -> list[Decision]:
    """Return what computes a model's attention on the device at hand, in rows of one sequence and in packed.

    The model is traced over a short batch, and each kernel that could compute it is probed. ConfigError where
    a kernel that is named cannot compute rows of one sequence; packed ones a run need not have.
    """
    ids = jax.ShapeDtypeStruct((ROWS, LENGTH), "int32")
    with heard() as decisions:
        for max_segments in (1, 2):
            forward = partial(model.forward, max_segments=max_segments)
            try:
                jax.eval_shape(forward, model.abstract(dtype), ids, ids, ids)
            except ConfigError:
                if max_segments == 1:
                    raise
    return decisions()


def _component(word: str) -> AttentionComponent:
    found = resolve("attention", word)
    try:
        return found()
    except Exception as error:  # other people's code: whatever it raises, it is named
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"attention '{word}' cannot be made without options: {cause}") from error
