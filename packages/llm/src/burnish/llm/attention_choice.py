"""From the word in `model.attention` to what a model is given to compute its attention with."""

from __future__ import annotations

from burnish.llm.kernels.choice import AttentionChoice, Auto, Named
from burnish.llm.kernels.protocol import Attention, AttentionComponent, AttentionContext
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import built
from burnish.platform.configuration.registry import Provider, provider, resolve
from burnish.platform.errors import BurnishError, ComponentError

AUTO = "auto"
"""The word for the kernel that suits a case best."""


def attention_of(word: str, jax: JaxConfig | None, artifacts: Artifacts) -> AttentionChoice:
    """Return the choice that a word stands for: a kernel by its name or import path, or `auto`.

    Raises:
        ComponentError: the kernel is unknown, or is none.
    """
    num_devices = 1 if jax is None else jax.mesh.dp * jax.mesh.fsdp * jax.mesh.tp
    if word == AUTO:
        return Auto(num_devices)
    context = AttentionContext(jax=jax, artifacts=artifacts)
    try:
        return Named(word, built("attention", _component(word), Attention, context), num_devices)
    except BurnishError as error:
        raise ComponentError(f"model.attention={word}: {error}") from error


def providers_of(choice: AttentionChoice) -> tuple[Provider, ...]:
    """Return who provides the kernel that is named, for the record of a run; nobody where none is."""
    return (provider("attention", choice.word),) if isinstance(choice, Named) else ()


def _component(word: str) -> AttentionComponent:
    found = resolve("attention", word)
    try:
        return found()
    except Exception as error:  # other people's code: whatever it raises, it is named
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"attention '{word}' cannot be made without options: {cause}") from error
