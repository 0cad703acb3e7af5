"""A model whose files are low-rank updates: the base that they are of, and its parameters with them in it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from burnish.llm.bundle import Load
from burnish.llm.checkpoint_params import load_tree
from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.protocol import CausalLM
from burnish.llm.json_object import read_object
from burnish.llm.lora.low_rank import ADAPTERS, LowRank, Target, target_of
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.lora.peft_reading import base_of_peft, read_peft
from burnish.llm.lora.stored import BASE, BaseModel, read_updates, require_base
from burnish.llm.lora.values import merged
from burnish.llm.model_source import PEFT_CONFIG, UPDATES, ModelSource, is_of_peft, locate
from burnish.llm.tensor_layout import leaf_at
from burnish.platform.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class Opened:
    """Low-rank updates in a directory."""

    source: ModelSource
    below: tuple[Level, ...]
    """What the model is made of that they are of; empty where it lies beside them."""
    is_of_peft: bool = False

    def onto(self, load: Load, model: CausalLM) -> Load:
        """Return the load of a model with its updates, given that of its base."""
        return lambda like: _merged(like, load, *self.read(model))

    def read(self, model: CausalLM) -> tuple[AdaptedLM, Mapping[str, Any]]:
        """Return the updates of a model, in numpy and fp32."""
        if self.is_of_peft:
            return read_peft(self.source.directory, model)
        assert self.source.verified is not None, "a checkpoint is verified when it is found"
        adapted = read_updates(read_object(self.source.directory / UPDATES)).of(model)
        like = adapted.abstract("float32")[ADAPTERS]
        return adapted, load_tree(
            self.source.verified, ADAPTERS, lambda dtype: adapted.abstract(dtype)[ADAPTERS], like
        )


@dataclass(frozen=True)
class Level:
    """A directory that a model is made of."""

    source: ModelSource
    updates: Opened | None
    """None where it holds parameters alone."""


def levels_of(source: ModelSource, above: tuple[Path, ...] = ()) -> tuple[Level, ...]:
    """Return a directory, and those below it: what holds updates alone stands on its base, which is there.

    CheckpointError where it stands on one of those that are `above` it.
    """
    directory = source.directory.resolve()
    _refuse_circle(directory, above)
    updates = _opened(source, (*above, directory))
    below = () if updates is None else updates.below
    if below and _recorded(source) is None:
        source = replace(source, base=below[0].source)
    return (Level(source, updates), *below)


def source_with(levels: Sequence[Level], *names: str) -> ModelSource:
    """Return the first directory with a file of one of these names, the first of all where none has."""
    having = (
        each.source for each in levels if any((each.source.directory / name).is_file() for name in names)
    )
    return next(having, levels[0].source)


def describing(levels: Sequence[Level]) -> ModelSource:
    """Return the first directory whose `config.json` counts; peft goes by that of the base."""
    return next(each.source for each in levels if each.updates is None or not each.updates.is_of_peft)


def _opened(source: ModelSource, above: tuple[Path, ...]) -> Opened | None:
    """Return the updates in a directory, which is above their base like those before it."""
    directory = source.directory
    if (directory / UPDATES).is_file():
        base = _recorded(source)
        return Opened(source, () if base is None else _below(above, base))
    if is_of_peft(directory):
        base = _recorded(source)
        if base is None:
            below = levels_of(_found(directory, *base_of_peft(directory)), above)
            return Opened(source, below, is_of_peft=True)
        return Opened(source, _below(above, base), is_of_peft=True)
    return None


def _recorded(source: ModelSource) -> BaseModel | None:
    """Return what a directory of updates has written down of its base."""
    if (source.directory / UPDATES).is_file():
        return read_updates(read_object(source.directory / UPDATES)).base
    recorded = {} if source.verified is None else source.verified.facts.get(BASE)
    return BaseModel(**recorded) if recorded else None


def _below(above: tuple[Path, ...], base: BaseModel) -> tuple[Level, ...]:
    """Return what the base of updates is made of; CheckpointError where another model is in its place."""
    levels = levels_of(_found(above[-1], base.name, base.revision), above)
    found = levels[0].source
    require_base(base, BaseModel(name=found.name, revision=found.revision, sha256=found.sha256()))
    return levels


def _found(directory: Path, name: str, revision: str) -> ModelSource:
    """Return the files that updates are said to be of; CheckpointError where there are none."""
    try:
        return locate(name, revision)
    except ConfigError as error:
        raise CheckpointError(
            f"{directory} holds updates of the model {name}, which is not found: put it back there"
        ) from error


def _refuse_circle(directory: Path, above: tuple[Path, ...]) -> None:
    """Raise CheckpointError where updates are of what stands on them, which names no model."""
    if directory not in above:
        return
    circle = above[above.index(directory) :]
    told = "hold updates that name each other" if len(circle) > 1 else "holds updates that name themselves"
    raise CheckpointError(
        f"{' and '.join(map(str, circle))} {told} as their base: name the model that they are of in "
        f"{PEFT_CONFIG}"
    )


def _merged(like: Mapping[str, Any], load: Load, model: AdaptedLM, adapters: Mapping[str, Any]) -> Any:
    """Return the leaves that are asked for, each computed in fp32 and rounded once."""
    asked = leaves_by_path(like)
    adapted = [path for path in model.targets if path in asked]
    exact = {
        path: jax.ShapeDtypeStruct(asked[path].shape, np.float32, sharding=asked[path].sharding)
        for path in adapted
    }
    leaves = leaves_by_path(load(nest({**asked, **exact})))
    for path in adapted:
        merge = _merge(target_of(model.base, path), model.low_rank, asked[path])
        made = merge(leaves.pop(path), leaf_at(adapters, path))
        leaves[path] = np.asarray(made) if asked[path].sharding is None else made
    return nest(leaves)


@functools.cache
def _merge(target: Target, low_rank: LowRank, likeness: jax.ShapeDtypeStruct) -> Any:
    def merge(weight: Any, beside: Mapping[str, Any]) -> Any:
        return merged(target, low_rank, weight, beside).astype(likeness.dtype)

    return jax.jit(merge, out_shardings=likeness.sharding)
