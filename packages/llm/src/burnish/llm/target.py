"""Accelerators to compile for that are not there: what a compiler has to know of them, and a mesh of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from burnish.platform.configuration.install_command import install_command
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.device.mesh import AXES
from burnish.platform.errors import ConfigError

_UNTUNED: dict[str, str | bool] = {"xla_gpu_autotune_level": "0", "xla_gpu_enable_triton_gemm": False}
"""Kernels are tuned by running them, and untuned ones of Triton fail to compile at some shapes."""


@dataclass(frozen=True)
class Target:
    """An NVIDIA card of compute capability 9.0."""

    kind: str
    memory_bytes: int
    memory_bytes_per_second: int
    platform: str = "gpu"
    compute_capability: tuple[int, int] = (9, 0)

    def config(self) -> str:
        """Return the card as XLA's `GpuTargetConfigProto`, in text.

        Its numbers are those of XLA's own `target_config/specs`.
        """
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
              shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
              shared_memory_per_core: 233472 core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
              block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
              registers_per_core_limit: 65536 registers_per_block_limit: 65536 l2_cache_size: 52428800
              cuda_compute_capability {{ major: 9 }}
              device_memory_size: {self.memory_bytes} memory_bandwidth: {self.memory_bytes_per_second}
            }}
            platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 }}
            runtime_version {{ major: 13 }} device_description_str: "{self.kind}"
        """


def named(name: str) -> Target:
    """Return the card of a name; ConfigError where there is none."""
    if name not in TARGETS:
        raise ConfigError(f"--target={name}: unknown{suggestion(name, TARGETS)}; legal: {', '.join(TARGETS)}")
    return TARGETS[name]


TARGETS = {
    "h100": Target("NVIDIA H100 80GB HBM3", 84_929_347_584, 3_352_320_000_000),
    "h200": Target("NVIDIA H200 141GB HBM3e", 151_397_597_184, 4_800_000_000_000),
}


def mesh_of_target(target: Target, sizes: tuple[int, int, int]) -> Mesh:
    """Return a mesh of such cards, to compile for; ConfigError where their compiler is not installed."""
    from jax.experimental import topologies

    count = int(np.prod(sizes))
    try:
        found = topologies.get_topology_desc(
            platform="cuda", target_config=target.config(), topology=f"1x1x{count}"
        )
    except Exception as error:  # jax raises what the lookup of a plugin happens to
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(
            f"--target: no compiler for {target.kind} answers here ({cause}); its wheels come with "
            f"{install_command('burnish-llm')}[target]"
        ) from error
    grid = np.array(found.devices, dtype=object).reshape(sizes)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


@contextmanager
def compiling_for(target: Target) -> Generator[None]:
    """Let what depends on the device at hand ask for this one in the `with` block."""
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def target_now() -> Target | None:
    """Return what is compiled for, None where that is the device at hand."""
    return _TARGET.get()


def platform() -> str:
    """Return the platform that is compiled for."""
    target = target_now()
    return jax.default_backend() if target is None else target.platform


def compiler_options() -> dict[str, str | bool]:
    """Return the options that a program is compiled with."""
    return {} if is_at_hand() else _UNTUNED


def is_at_hand() -> bool:
    """Say whether what is compiled can be run here."""
    return target_now() is None


def compute_capability() -> tuple[int, int] | None:
    """Return that of the CUDA device that is compiled for; None for any other."""
    target = target_now()
    return _capability_at_hand() if target is None else target.compute_capability


def _capability_at_hand() -> tuple[int, int] | None:
    device = jax.local_devices()[0]
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return None
    major, minor = device.compute_capability.split(".")
    return int(major), int(minor)


_TARGET: ContextVar[Target | None] = ContextVar("target", default=None)
