"""The options of a run and of this package's components, importable without jax.

Defaults, documentation and own checks live here; what a component does, in the module its `build` imports.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from burnish.platform.component import Component, Provider, slot, slots
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.platform.data.source import DataSource


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Which run this is, where it is written, and what its randomness begins with."""

    name: str | None = None
    """Directory of the run under `output_dir`; None is the chain and the UTC time, numbered when taken."""

    output_dir: str = "runs"
    """Directory that holds the runs."""

    seed: int = 0
    """Every random number is a function of this (0 to 2**32 - 1), the stage, the step and its purpose."""

    config_path: str | None = None
    """The user's file that the config began with; recorded, and set by `train file.yaml`."""

    def __post_init__(self) -> None:
        """Refuse a name that is no directory of its own under `output_dir`, and a seed beyond 32 bits."""
        if self.name is not None and (self.name in ("", ".", "..") or "/" in self.name):
            raise ConfigError(f"name='{self.name}' must be one directory's name; run.output_dir says where")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed={self.seed} is out of range: legal are 0 to {2**32 - 1}")


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How the devices are arranged: their product is the number of local devices in use."""

    dp: int = 1
    """Devices that hold whole copies of the parameters and share the rows."""

    fsdp: int = 1
    """Devices that share the rows and split the parameters."""

    tp: int = 1
    """Devices that split every layer."""

    def __post_init__(self) -> None:
        """Refuse an axis without a device."""
        for name in ("dp", "fsdp", "tp"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class JaxConfig:
    """Devices, number formats and the compiler."""

    mesh: MeshConfig = field(default_factory=MeshConfig)
    """Arrangement of the devices."""

    param_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the trained parameters."""

    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of forward and backward passes, sampling and evaluation."""

    deterministic: bool = False
    """Make an accelerator repeat its sums bit for bit, at some cost in speed; a CPU always does."""

    compilation_cache: str | None = "~/.cache/burnish/jax"
    """Directory that keeps compiled programs from one process to the next; None keeps none."""


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written, which are kept, and where a run goes on from."""

    backend: Component = slot("checkpoint", "msgpack")
    """How arrays are written."""

    save_every_steps: int = 100
    """Steps between two checkpoints; 0 writes none on the way."""

    save_last: bool = True
    """Whether a stage's last step is saved."""

    save_total_limit: int | None = 2
    """Checkpoints of a stage that are kept, the best one beside them; None keeps all."""

    keep_best: str | None = None
    """Metric whose best checkpoint is kept, such as `eval/accuracy`; None keeps by age alone."""

    keep_best_mode: Literal["max", "min"] = "max"
    """Whether more or less of `keep_best` is better."""

    resume_from: str | None = None
    """Go on with an existing run: `latest`, `best` or a checkpoint's directory."""

    def __post_init__(self) -> None:
        """Refuse intervals and limits that keep nothing."""
        if self.save_every_steps < 0:
            raise ConfigError(f"save_every_steps={self.save_every_steps} must be 0 (never) or more")
        if self.save_total_limit is not None and self.save_total_limit < 1:
            raise ConfigError(f"save_total_limit={self.save_total_limit} must be 1 or more, or null for all")


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """Where statistics go."""

    sinks: Mapping[str, Component] = slots("sink", ["jsonl", "console", "tensorboard"])
    """Destinations of the statistics, each by a label."""

    print_every_steps: int = 10
    """Steps between two lines on the console; steps with an evaluation are always printed."""

    metrics_namespace: str = ""
    """Put before every metric's name in TensorBoard and the like, so that projects can share a place."""

    def __post_init__(self) -> None:
        """Refuse an interval without steps."""
        if self.print_every_steps < 1:
            raise ConfigError(f"print_every_steps={self.print_every_steps} must be 1 or more")


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


@dataclass(frozen=True, kw_only=True)
class Msgpack:
    """Checkpoints as msgpack: one file per tree, written by this process."""

    def build(self) -> Any:
        """Return the backend."""
        from burnish.platform.checkpoint.msgpack import MsgpackBackend

        return MsgpackBackend()


@dataclass(frozen=True, kw_only=True)
class Orbax:
    """Checkpoints in orbax's format: one directory per tree, for large and sharded arrays."""

    def build(self) -> Any:
        """Return the backend."""
        from burnish.platform.checkpoint.orbax import OrbaxBackend

        return OrbaxBackend()


@dataclass(frozen=True, kw_only=True)
class JsonlSink:
    """`metrics.jsonl`: one row per stage and step."""

    def build(self, directory: Path, logging: LoggingConfig) -> Any:
        """Return the sink that appends to `metrics.jsonl` in the run's directory."""
        from burnish.platform.sinks.jsonl import JsonlSink as Sink

        return Sink(directory, logging)


@dataclass(frozen=True, kw_only=True)
class ConsoleSink:
    """The terminal: step, loss or reward, speed, time to go; plain lines where there is no terminal."""

    def build(self, directory: Path, logging: LoggingConfig) -> Any:
        """Return the sink that prints every `logging.print_every_steps`."""
        from burnish.platform.sinks.console import ConsoleSink as Sink

        return Sink(directory, logging)


@dataclass(frozen=True, kw_only=True)
class TensorBoardSink:
    """TensorBoard event files in `tb/`."""

    def build(self, directory: Path, logging: LoggingConfig) -> Any:
        """Return the sink that writes events over the global step."""
        from burnish.platform.sinks.tensorboard import TensorBoardSink as Sink

        return Sink(directory, logging)


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """The last digit of a sum of digits: right demonstrations, some of which show their work."""

    num_problems: int = 100_000
    """Different problems, held-out ones included."""

    num_digits: int = 5
    """Digits that are added in a problem."""

    num_demonstrations: int = 2000
    """Problems with a worked or bare answer to imitate."""

    worked_fraction: float = 0.3
    """Share of the demonstrations that show running last digits before the answer."""

    keep: Literal["all", "worked", "bare"] = "all"
    """Which demonstrations are used: all, those that show their work, or those that only answer."""

    num_prompts: int = 1280
    """Problems to sample completions for; disjoint from the demonstrations."""

    seed: int = 0
    """Which problems these are; independent of the run's seed."""

    def __post_init__(self) -> None:
        """Refuse sizes without a problem in them."""
        for name in ("num_problems", "num_digits", "num_demonstrations", "num_prompts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be 1 or more")
        if not 0.0 <= self.worked_fraction <= 1.0:
            raise ConfigError(f"worked_fraction={self.worked_fraction} must be between 0 and 1")

    def splits(self) -> tuple[str, ...]:
        """Return the splits there are."""
        return ("demonstrations", "prompts", "validation", "test")

    def build(self, split: str) -> "DataSource":
        """Return the records of one split; DataError names the splits there are."""
        from burnish.platform.data.arithmetic import build_split

        return build_split(self, split)


@dataclass(frozen=True, kw_only=True)
class Jsonl:
    """Records from files with one JSON object per line."""

    path: str
    """File of the demonstrations, which are also the prompts to roll out."""

    validation_path: str | None = None
    """File of the problems to tune on; None is no such split."""

    test_path: str | None = None
    """File of the problems to report on; None is no such split."""

    prompt_field: str = "prompt"
    """Key that holds the prompt: a text, or a list of messages."""

    completion_field: str = "completion"
    """Key that holds the completion to imitate."""

    answer_field: str = "answer"
    """Key that holds the right answer."""

    answer_pattern: str | None = None
    """Regular expression with the answer in the completion as a group, `#### (.+)`; None: `answer_field`."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is none, or that captures nothing."""
        if (pattern := self.answer_pattern) is None:
            return
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ConfigError(f"answer_pattern={pattern!r} is no regular expression: {error}") from error
        if groups < 1:
            raise ConfigError(f"answer_pattern={pattern!r} needs a group, as in '#### (.+)'")

    def splits(self) -> tuple[str, ...]:
        """Return the splits that a file is given for."""
        named = {"validation": self.validation_path, "test": self.test_path}
        return ("demonstrations", "prompts", *(name for name, path in named.items() if path is not None))

    def build(self, split: str) -> "DataSource":
        """Return the records of one split; DataError names file and line of what cannot be read."""
        from burnish.platform.data.jsonl import build_split

        return build_split(self, split)
