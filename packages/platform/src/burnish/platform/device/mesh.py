"""The mesh over this process's devices: axes `dp`, `fsdp` and `tp`."""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

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


def idle_devices(mesh: Mesh) -> str | None:
    """Say how many of the local devices a mesh leaves idle, and what would use them; None for none."""
    devices = jax.local_devices()
    return idle(mesh.size, len(devices), devices[0].platform)


def idle(used: int, available: int, platform: str) -> str | None:
    """Say it of numbers: several devices of platform `cpu` are one processor, however it is divided."""
    if used == available or platform == "cpu":
        return None
    return f"uses {used} of {available} devices; jax.mesh.fsdp={available} would use all"
