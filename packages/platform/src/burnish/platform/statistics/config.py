"""The sinks of this package as plain data, importable without jax."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from burnish.platform.statistics.sink import Sink, SinkContext


@dataclass(frozen=True, kw_only=True)
class JsonlSink:
    """`metrics.jsonl`: one row per stage and step."""

    writes: ClassVar[str] = "metrics.jsonl"

    def build(self, context: "SinkContext") -> "Sink":
        """Return the sink that appends to `metrics.jsonl` in the run's directory."""
        from burnish.platform.statistics.sinks.jsonl import JsonlSink as Sink

        return Sink(context.directory)


@dataclass(frozen=True, kw_only=True)
class ConsoleSink:
    """The terminal: step, registered metrics, time to go; plain lines where there is no terminal."""

    def build(self, context: "SinkContext") -> "Sink":
        """Return the sink that prints every `logging.print_every_steps`."""
        from burnish.platform.statistics.sinks.console import ConsoleSink as Sink

        return Sink(context.logging.print_every_steps)


@dataclass(frozen=True, kw_only=True)
class TensorBoardSink:
    """TensorBoard event files in `tb/`."""

    writes: ClassVar[str] = "tb/"

    def build(self, context: "SinkContext") -> "Sink":
        """Return the sink that writes events over the global step."""
        from burnish.platform.statistics.sinks.tensorboard import TensorBoardSink as Sink

        return Sink(context.directory, context.logging.metrics_namespace)
