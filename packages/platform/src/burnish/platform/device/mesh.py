"""The mesh over this process's devices: axes `dp`, `fsdp` and `tp`."""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from burnish.platform.configuration.config import JaxConfig, MeshConfig
from burnish.platform.errors import ConfigError

AXES = ("dp", "fsdp", "tp")


def build_mesh(dp: int = 1, fsdp: int = 1, tp: int = 1, *, devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh over the first dp * fsdp * tp jax `devices`, by default the local ones.

    Axes are Auto: shardings are propagated by the compiler. Raises `ConfigError` when the product does not
    divide the number of devices.
    """
    found: list[Any] = jax.local_devices() if devices is None else list(devices)
    shape = (dp, fsdp, tp)
    product = int(np.prod(shape))
    if len(found) % product:
        legal = ", ".join(str(number) for number in range(1, len(found) + 1) if len(found) % number == 0)
        raise ConfigError(
            f"jax.mesh: dp={dp} * fsdp={fsdp} * tp={tp} = {product} does not fit "
            f"{len(found)} {found[0].platform} device(s): the product must be one of {legal}"
        )
    grid = np.array(found[:product], dtype=object).reshape(shape)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def mesh_of(mesh: MeshConfig) -> Mesh:
    """Return the mesh that the options describe, over this process's devices."""
    return build_mesh(*counted_out(mesh, len(jax.local_devices())).sizes)


def arranged(config: JaxConfig) -> JaxConfig:
    """Return the options with this process's devices in place of `auto`; ConfigError if they do not fit."""
    mesh = counted_out(config.mesh, len(jax.local_devices()))
    build_mesh(*mesh.sizes)
    return replace(config, mesh=mesh)


def counted_out(mesh: MeshConfig, available: int) -> MeshConfig:
    """Return the options with the devices that the other axes leave, one at least, in place of `auto`."""
    return replace(mesh, **dict.fromkeys(mesh.free_axes, max(1, available // mesh.num_devices)))


def describe_devices(mesh: MeshConfig) -> str:
    """Return how many of this process's devices a mesh uses, in words."""
    devices = jax.local_devices()
    return words_for_devices(counted_out(mesh, len(devices)).num_devices, len(devices), devices[0].platform)


def words_for_devices(used: int, available: int, platform: str) -> str:
    """Say how many devices a mesh uses, and what would use those that it leaves idle.

    Several devices of platform `cpu` are one processor, however it is divided: none is idle.
    """
    if platform == "cpu" or used == available:
        return f"{used} {platform} device" + ("s" if used > 1 else "")
    return f"{used} of {available} {platform} devices (jax.mesh.fsdp=auto would use all)"
