"""Updates that peft has written: `adapter_config.json` beside `adapter_model.safetensors`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from burnish.llm.families.parameters import nest
from burnish.llm.families.protocol import LAYERS, CausalLM, Path
from burnish.llm.json_object import read_object
from burnish.llm.lora.low_rank import ADAPTERS, LowRank, target_of
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.lora.peft_format import MODEL, PREFIX, Module, modules_of
from burnish.llm.model_source import PEFT_CONFIG
from burnish.llm.safetensors_files import read_tensors
from burnish.platform.errors import CheckpointError

A, B, MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
Factors = Mapping[str, np.ndarray]
"""What peft has for a module, by the ends of their names."""


def base_of_peft(directory: FilePath) -> tuple[str, str]:
    """Return name and revision of the base; CheckpointError where the configuration names none."""
    config = read_object(directory / PEFT_CONFIG)
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{directory / PEFT_CONFIG} names no model that the updates are of: write its directory or its "
            "name on the hub there as base_model_name_or_path"
        )
    return name, str(config.get("revision") or "main")


def read_peft(directory: FilePath, model: CausalLM) -> tuple[AdaptedLM, dict[str, Any]]:
    """Return a model with the updates of a directory, and their leaves in numpy and fp32.

    All have the largest rank, those of others with zeros, and `b` holds what each is multiplied with.
    """
    config = read_object(directory / PEFT_CONFIG)
    _require_lora(directory, config)
    factors = _factors(directory, read_tensors(directory / MODEL))
    if not factors:
        raise CheckpointError(f"{directory / MODEL} holds no updates: give the file that peft has written")
    every = modules_of(model, [path for path in model.matrices if path[0] == LAYERS])
    if unknown := sorted(factors.keys() - every.keys()):
        raise CheckpointError(
            f"{directory / MODEL}: `{unknown[0]}` is no matrix of the model's layers, which alone are "
            "adapted: merge the updates with peft, and give the merged model"
        )
    adapted = {name: every[name] for name in factors}
    for name, module in adapted.items():
        _check_shapes(directory, name, module, factors[name])
        _check_magnitude(directory, name, module, factors[name], is_dora=bool(config.get("use_dora")))
    paths = {part.path for module in adapted.values() for part in module.parts}
    rank = max(factor[A].shape[0] for factor in factors.values())
    low_rank = LowRank(rank=rank, alpha=float(rank), dora=bool(config.get("use_dora")))
    made = AdaptedLM(model, low_rank, tuple(path for path in model.matrices if path in paths))
    _require_every_magnitude(directory, made, adapted)
    leaves = _leaves(made, adapted, factors, {name: _scale(config, name, factors[name]) for name in adapted})
    return made, nest(leaves)[ADAPTERS]


def _leaves(
    model: AdaptedLM,
    modules: Mapping[str, Module],
    factors: Mapping[str, Factors],
    scales: Mapping[str, float],
) -> dict[Path, np.ndarray]:
    """Return the leaves beside the matrices, by path; what no module adapts stays as it is."""
    leaves = {path: np.zeros(leaf.shape, np.float32) for path, leaf in model.leaves.items()}
    for name, module in modules.items():
        a, b = factors[name][A], factors[name][B] * np.float32(scales[name])
        for part in module.parts:
            beside, rows = (ADAPTERS, *part.path), slice(*part.rows)
            of_a = leaves[*beside, "a"][part.index]
            of_a[..., : len(a)] = a.T.reshape(*of_a.shape[:-1], len(a))
            of_b = leaves[*beside, "b"][part.of_b]
            of_b[: len(a)] = b[rows].T.reshape(len(a), *of_b.shape[1:])
            if model.low_rank.dora:
                norms = leaves[*beside, "magnitude"][(*part.index, part.outputs)]
                norms[...] = factors[name][MAGNITUDE].reshape(-1)[rows].reshape(norms.shape)
    return leaves


def _require_lora(directory: FilePath, config: Mapping[str, Any]) -> None:
    """Refuse what is computed otherwise here than by peft."""
    plain: Mapping[str, tuple[Any, ...]] = {
        "peft_type": ("LORA",),
        "bias": ("none",),
        "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),  # others alter the base
        **dict.fromkeys(("lora_bias", "use_qalora"), (False,)),
        **dict.fromkeys(
            ("alora_invocation_tokens", "kasa_config", "layer_replication", "use_bdlora"), (None,)
        ),
    }
    for option, legal in plain.items():
        if (found := config.get(option, legal[0])) not in legal:
            raise CheckpointError(
                f"{directory / PEFT_CONFIG}: {option}={found!r} is not computed, only {legal[0]!r}: merge "
                "the updates with peft, and give the merged model"
            )


def _factors(directory: FilePath, tensors: Factors) -> dict[str, dict[str, np.ndarray]]:
    """Return the factors of each module by its name in transformers."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        end = next((end for end in (A, B, MAGNITUDE) if name.endswith(end)), None)
        if end is None or not name.startswith(PREFIX):
            raise CheckpointError(
                f"{directory / MODEL}: `{name}` is no factor of a matrix's update: merge the updates with "
                "peft, and give the merged model"
            )
        found.setdefault(name[len(PREFIX) : -len(end)], {})[end] = tensor.astype(np.float32)
    return found


def _check_shapes(directory: FilePath, name: str, module: Module, factors: Factors) -> None:
    outputs, inputs = module.shape
    a, b = (factors[end].shape if end in factors else () for end in (A, B))
    if len(a) != 2 or a[1:] != (inputs,) or b != (outputs, a[0]):
        raise CheckpointError(
            f"{directory / MODEL}: the factors of `{name}` are {a} and {b}, the model makes them "
            f"(rank, {inputs}) and ({outputs}, rank): give the model that they are of"
        )


def _check_magnitude(
    directory: FilePath, name: str, module: Module, factors: Factors, *, is_dora: bool
) -> None:
    size = factors[MAGNITUDE].size if MAGNITUDE in factors else 0
    if size != (wanted := module.shape[0] * is_dora):
        raise CheckpointError(
            f"{directory / MODEL}: `{name}` has {size} norms, and with use_dora={is_dora} {wanted}: give the "
            "file that peft has written beside its configuration"
        )


def _require_every_magnitude(directory: FilePath, model: AdaptedLM, modules: Mapping[str, Module]) -> None:
    """Refuse magnitudes of some matrices of a leaf alone: the others' norms are the base's to say."""
    if not model.low_rank.dora:
        return
    parts = [part for module in modules.values() for part in module.parts]
    for path in model.targets:
        target = target_of(model.base, path)
        wanted = math.prod(target.shape[dim] for dim in (*target.stacked, *target.dims.outputs))
        if wanted != sum(part.rows[1] - part.rows[0] for part in parts if part.path == path):
            raise CheckpointError(
                f"{directory / MODEL}: DoRA adapts some layers of {'/'.join(path)} and not others: merge the "
                "updates with peft, and give the merged model"
            )


def _scale(config: Mapping[str, Any], module: str, factors: Factors) -> float:
    """Return what peft multiplies an update with."""
    rank = len(factors[A])
    alpha = float(_of_module(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", 8)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of_module(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """Return what the first pattern that fits says, as peft looks it up."""
    fits = (key for key in patterns if re.match(rf"(.*\.)?({key})$", module))
    return next((patterns[key] for key in fits), default)
