"""Updates written for peft, which puts them beside the matrices of a model of transformers."""

import json
import math
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from burnish.llm.families.adapted import column_norms
from burnish.llm.families.matrix_dims import flat
from burnish.llm.lora.low_rank import ADAPTERS, LowRank, target_of
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.lora.peft_format import MODEL, PREFIX, Module, Part, modules_of
from burnish.llm.model_source import PEFT_CONFIG, ModelSource
from burnish.llm.tensor_layout import leaf_at
from burnish.llm.weights import save_tensors
from burnish.platform import atomic


def write_peft(
    directory: FilePath, model: AdaptedLM, params: Mapping[str, Any], base: ModelSource | None
) -> None:
    """Write the updates among `params` into an existing directory; `base` are the files that they are of.

    A stored tensor of which several leaves have rows gets the factors of all, and as large a rank.
    """
    modules = modules_of(model.base, model.targets)
    tensors: dict[str, np.ndarray] = {}
    for name, module in modules.items():
        a, b = _factors(model, module, params[ADAPTERS])
        tensors[f"{PREFIX}{name}.lora_A.weight"], tensors[f"{PREFIX}{name}.lora_B.weight"] = a, b
        if model.low_rank.dora:
            tensors[f"{PREFIX}{name}.lora_magnitude_vector"] = _magnitudes(model, module, params)
    save_tensors(directory / MODEL, tensors)
    ranks = {name: _num_adapted(model, module) * model.low_rank.rank for name, module in modules.items()}
    named = (None, None) if base is None else (base.name, base.revision)
    of_base = dict(zip(("base_model_name_or_path", "revision"), named, strict=True))
    config = {**_config(model.low_rank, ranks, modules), **of_base}
    atomic.write_file(directory / PEFT_CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _config(low_rank: LowRank, ranks: Mapping[str, int], modules: Mapping[str, Module]) -> dict[str, Any]:
    """Return the configuration; a module of another rank has its own alpha, for the scale is that of all."""
    is_rslora = low_rank.scaling == "rslora"
    others = {name: rank for name, rank in ranks.items() if rank != low_rank.rank}
    alphas = {
        name: low_rank.scale * (math.sqrt(rank) if is_rslora else rank) for name, rank in others.items()
    }
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": low_rank.rank,
        "lora_alpha": low_rank.alpha,
        "lora_dropout": 0.0,
        "use_rslora": is_rslora,
        "use_dora": low_rank.dora,
        "target_modules": sorted(modules),
        "rank_pattern": others,
        "alpha_pattern": alphas,
        "fan_in_fan_out": any(module.is_transposed for module in modules.values()),
        "bias": "none",
        "inference_mode": True,
        "modules_to_save": None,
    }


def _factors(model: AdaptedLM, module: Module, adapters: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return `A [r in]` and `B [out r]` of a module, with the ranks of its parts behind each other."""
    outputs, inputs = module.shape
    adapted = [part for part in module.parts if part.path in model.targets]
    rank, dtype = model.low_rank.rank, leaf_at(adapters, adapted[0].path)["a"].dtype
    a = np.zeros((rank * len(adapted), inputs), dtype)
    b = np.zeros((outputs, rank * len(adapted)), dtype)
    for number, part in enumerate(adapted):
        beside, own = leaf_at(adapters, part.path), slice(number * rank, (number + 1) * rank)
        a[own] = np.asarray(beside["a"])[part.index].reshape(inputs, rank).T
        b[slice(*part.rows), own] = np.asarray(beside["b"])[part.of_b].reshape(rank, -1).T
    return a, b


def _magnitudes(model: AdaptedLM, module: Module, params: Mapping[str, Any]) -> np.ndarray:
    """Return the norms of a module's outputs; those of a part without an update are its own."""
    return np.concatenate([_magnitudes_of(model, part, params) for part in module.parts])


def _magnitudes_of(model: AdaptedLM, part: Part, params: Mapping[str, Any]) -> np.ndarray:
    at = (*part.index, part.outputs)
    if part.path in model.targets:
        return np.asarray(leaf_at(params[ADAPTERS], part.path)["magnitude"])[at].reshape(-1)
    target, leaf = target_of(model.base, part.path), leaf_at(params, part.path)
    stacked, outputs = ([leaf.shape[dim] for dim in dims] for dims in (target.stacked, target.dims.outputs))
    norms = np.asarray(column_norms(flat(leaf, target.dims)))
    return norms.reshape(*stacked, *outputs)[at].reshape(-1)


def _num_adapted(model: AdaptedLM, module: Module) -> int:
    return sum(part.path in model.targets for part in module.parts)
