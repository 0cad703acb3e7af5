"""Which matrices are adapted, and which parameters are trained beside the updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import jax

from burnish.llm.families.protocol import EXPERTS, LAYERS, CausalLM, Path
from burnish.llm.lora.low_rank import target_of
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.partition import Partition, matches
from burnish.platform.errors import ConfigError

ALL_LINEAR = "all-linear"


def targets_of(
    model: CausalLM, patterns: Sequence[str] | Literal["all-linear"], trainable: Sequence[str]
) -> tuple[Path, ...]:
    """Return the paths of the matrices that are adapted; ConfigError for a pattern that is none's.

    `all-linear` are the matrices of the layers that every token is multiplied with, the routers apart, as
    far as none of the patterns of `trainable` names them.
    """
    matrices = [path for path in model.matrices if path[0] == LAYERS]
    in_full = [path for path in matrices if any(matches(pattern, path) for pattern in trainable)]
    if patterns == ALL_LINEAR:
        dense = [path for path in matrices if EXPERTS not in target_of(model, path).axes]
        return _some([path for path in dense if path not in in_full])
    for pattern in patterns:
        if not any(matches(pattern, path) for path in matrices):
            legal = ", ".join(map("/".join, matrices))
            raise ConfigError(f"targets: '{pattern}' matches no matrix of the layers; there are {legal}")
    chosen = [path for path in matrices if any(matches(pattern, path) for pattern in patterns)]
    if twice := [path for path in chosen if path in in_full]:
        raise ConfigError(
            f"targets: '{'/'.join(twice[0])}' is named by trainable too; take it out of one of them"
        )
    return _some(chosen)


def _some(chosen: Sequence[Path]) -> tuple[Path, ...]:
    """Refuse updates of nothing."""
    if not chosen:
        raise ConfigError(
            "targets: no matrix would be adapted, as trainable names all or targets is empty; name one, or "
            "set training=jax, whose frozen names what is not to be trained"
        )
    return tuple(chosen)


def adapter_partition(
    model: AdaptedLM,
    *,
    trainable: Sequence[str],
    frozen: Sequence[str],
    rows: Mapping[str, int],
) -> Partition:
    """Return the cut that trains the updates, and of the base what `trainable` and `rows` name."""
    Partition(tuple(frozen), tuple(rows.items())).check(model.abstract("float32"))
    of_base = list(_paths(model.base))
    for pattern in trainable:
        if not any(matches(pattern, path) for path in of_base):
            legal = ", ".join(map("/".join, of_base))
            raise ConfigError(f"trainable: '{pattern}' matches no parameter; there are {legal}")
    for path in of_base:
        if all(any(matches(pattern, path) for pattern in patterns) for patterns in (trainable, frozen)):
            raise ConfigError(f"trainable: frozen names '{'/'.join(path)}' too; leave it to one of them")
    named = (*trainable, *rows)
    kept = ["/".join(path) for path in of_base if not any(matches(pattern, path) for pattern in named)]
    return Partition((*frozen, *kept), tuple(rows.items()))


def _paths(model: CausalLM) -> list[Path]:
    leaves = jax.tree_util.tree_leaves_with_path(model.abstract("float32"))
    return [tuple(str(entry.key) for entry in keys) for keys, _ in leaves]
