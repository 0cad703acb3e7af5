"""The sinks of this package as plain data, importable without jax."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from burnish.platform.statistics.sink import Sink, SinkContext


@dataclass(frozen=True, kw_only=True)
class JsonlSink:
    """`metrics.jsonl`: one row per stage and step."""

    writes: ClassVar[str] = "metrics.jsonl"
    look_at: ClassVar[tuple[str, str]] = ("rows", "metrics.jsonl")

    def build(self, context: "SinkContext") -> "Sink":
        """Return the sink that appends to `metrics.jsonl` in the run's directory."""
        from burnish.platform.statistics.sinks.jsonl import JsonlSink as Sink

        return Sink(context.directory)


@dataclass(frozen=True, kw_only=True)
class ConsoleSink:
    """The terminal: step, registered metrics, time to go, some samples; plain lines where there is none."""

    def build(self, context: "SinkContext") -> "Sink":
        """Return the sink that prints to standard output, as often as `logging` says."""
        from burnish.platform.statistics.sinks.console import ConsoleSink as Sink

        logging = context.logging
        return Sink(print_every_seconds=logging.print_every_seconds, print_samples=logging.print_samples)


@dataclass(frozen=True, kw_only=True)
class TensorBoardSink:
    """TensorBoard event files in `tb/`."""

    writes: ClassVar[str] = "tb/"
    look_at: ClassVar[tuple[str, str]] = ("curves", "uvx tensorboard --logdir {runs}")

    def build(self, context: "SinkContext") -> "Sink":
        """Return the sink that writes events over the global step."""
        from burnish.platform.statistics.sinks.tensorboard import TensorBoardSink as Sink

        logging = context.logging
        return Sink(context.directory, logging.metrics_namespace, logging.print_samples)
