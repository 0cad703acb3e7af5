"""The sections that every run has, and the whole configuration once it is checked; importable without jax."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from burnish.platform.configuration.component import Component
from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, CountOrZero, NotNegative, Seed
from burnish.platform.configuration.registry import Provider
from burnish.platform.configuration.slot_fields import slot, slots
from burnish.platform.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Which run this is, where it is written, and what its randomness begins with."""

    name: str | None = None
    """Directory of the run under `output_dir`; null is the chain and the UTC time, numbered when taken. In a
    sweep the job's number follows, unless the name holds a `${...}` or is swept."""

    output_dir: str = "runs"
    """Directory that holds the runs."""

    seed: Seed = 0
    """Every random number is a function of this (0 to 2**32 - 1), the stage, the step and its purpose, but
    for the rounding of masters in bfloat16, which is one of the step alone."""

    config_path: str | None = None
    """The user's file that the config began with; recorded, and set by `train file.yaml`."""

    sweep_metric: str | None = None
    """What a job of a sweep is worth, such as `eval/accuracy`: its value in the last stage that has it;
    `sft/eval/accuracy` is that of the stage `sft`. The table at the end is sorted by it."""

    sweep_direction: Literal["maximize", "minimize"] = "maximize"
    """Which values of `sweep_metric` are best; `hydra.sweeper.direction`, where it is set, wins."""

    def __post_init__(self) -> None:
        """Refuse values out of range, and a name that is no directory of its own under `output_dir`."""
        check_options(self)
        if self.name is not None and (self.name in ("", ".", "..") or "/" in self.name):
            raise ConfigError(f"name='{self.name}' must be one directory's name; run.output_dir says where")


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How the devices are arranged: their product is the number of local devices in use.

    One of them may be `auto`, the devices that the other two leave: `fsdp=auto` uses whatever is there.
    """

    dp: Count | Literal["auto"] = 1
    """Devices that hold whole copies of the parameters and share the rows."""

    fsdp: Count | Literal["auto"] = 1
    """Devices that share the rows and split the parameters."""

    tp: Count | Literal["auto"] = 1
    """Devices that split every layer."""

    def __post_init__(self) -> None:
        """Refuse an axis without a device, and two that would both take what is left."""
        check_options(self)
        if len(free := self.free_axes) > 1:
            raise ConfigError(
                f"{' and '.join(f'{axis}=auto' for axis in free)}: one axis at most may be auto"
            )

    @property
    def free_axes(self) -> tuple[str, ...]:
        """The axes that are `auto`."""
        return tuple(axis for axis in ("dp", "fsdp", "tp") if getattr(self, axis) == "auto")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The devices of each axis; `auto` counts as one until they are counted."""
        dp, fsdp, tp = (1 if size == "auto" else size for size in (self.dp, self.fsdp, self.tp))
        return dp, fsdp, tp

    @property
    def num_devices(self) -> int:
        """The devices of all axes."""
        return math.prod(self.sizes)

    @property
    def row_shards(self) -> int:
        """The devices that rows are divided over."""
        dp, fsdp, _ = self.sizes
        return dp * fsdp


@dataclass(frozen=True, kw_only=True)
class JaxConfig:
    """Devices, number formats and the compiler."""

    mesh: MeshConfig = field(default_factory=MeshConfig)
    """Arrangement of the devices."""

    param_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the trained parameters; moments are float32 with either. bfloat16 saves memory: the
    optimizer computes in float32, and its result is rounded up or down by chance."""

    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of forward and backward passes, sampling and evaluation."""

    deterministic: bool = False
    """Make an accelerator repeat its sums bit for bit, at some cost in speed; a CPU always does."""

    compilation_cache: str | None = "~/.cache/burnish/jax"
    """Directory that keeps compiled programs from one process to the next; null keeps none."""

    keep_host_memory: bool = True
    """Whether host memory that a step frees is kept for the next one rather than returned to the system:
    steps on a CPU are faster. It takes glibc and holds for the whole process."""

    def __post_init__(self) -> None:
        """Refuse number formats that there are not."""
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written, which are kept, and where a run goes on from."""

    backend: Component = slot("checkpoint", "msgpack")
    """How arrays are written."""

    save_every_steps: CountOrZero = 100
    """Steps between two checkpoints; 0 writes none on the way."""

    save_last: bool = True
    """Whether a stage's last step is saved."""

    save_total_limit: Count | None = 2
    """Checkpoints of a stage that are kept while it runs, the best one beside them; a finished stage keeps
    its newest and its best alone. null keeps all, for good."""

    keep_best: str | None = None
    """Metric whose best checkpoint is kept, such as `eval/accuracy`; null keeps by age alone."""

    keep_best_mode: Literal["max", "min"] = "max"
    """Whether more or less of `keep_best` is better."""

    resume_from: str | None = None
    """Go on with an existing run: `latest`, `best` or a checkpoint's directory."""

    def __post_init__(self) -> None:
        """Refuse intervals and limits that keep nothing."""
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """Where statistics go."""

    sinks: Mapping[str, Component] = slots("sink", ["jsonl", "console", "tensorboard"])
    """Destinations of the statistics, each by a label."""

    print_every_seconds: NotNegative = 10.0
    """Seconds between two rows on a console that is no terminal; 0 prints each, and the first and last of a
    stage and those with an evaluation are always printed."""

    print_samples: CountOrZero = 3
    """Samples of an evaluation that the console and TensorBoard show with its row."""

    metrics_namespace: str = ""
    """Put before every metric's name in TensorBoard and the like, so that projects can share a place."""

    def __post_init__(self) -> None:
        """Refuse negative intervals and counts."""
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class Sections:
    """The parts of a config that every run has, in the order they are printed."""

    run: RunConfig = field(default_factory=RunConfig)
    jax: JaxConfig = field(default_factory=JaxConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration, checked: sections, shared components by slot, stages by block name in order."""

    run: RunConfig
    jax: JaxConfig
    checkpoint: CheckpointConfig
    logging: LoggingConfig
    shared: Mapping[str, Component]
    """Components at the top, by slot."""

    stages: Mapping[str, Component]
    """The chain: stage configs by block name."""

    resolved: Mapping[str, Any]
    """Every option as plain values, each component with its `use`: what `config.yaml` holds."""

    components: tuple[Provider, ...]
    """Every component in use, with the distribution it comes from."""
