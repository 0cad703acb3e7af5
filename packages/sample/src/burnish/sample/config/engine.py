"""The engine of this package as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count

if TYPE_CHECKING:
    from burnish.sample.engine import Engine, EngineContext


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """The engine that decodes in this process, on the devices of the run's mesh."""

    slots: Count | Literal["auto"] = "auto"
    """Completions decoded side by side; a finished one makes room for the next request in the queue.
    Divisible by the number of devices that rows are spread over. `auto` is as many as a rollout or an
    evaluation asks for, per device up to a quarter more so that few programs are compiled; at most 256 per
    device, and no more than a quarter of its memory holds where it tells how much it has."""

    decode_steps: Count = 32
    """Most decode steps of one compiled chunk, after which the host looks at what has ended."""

    refill_slots: Count = 32
    """Free slots at which a chunk ends early while requests wait; at most an eighth of `slots` counts."""

    prefill_rows: Count = 64
    """Different prompts prefilled side by side, at most `slots`; divisible by the same number as those."""

    prefill_tokens: Count = 16
    """Prompt tokens prefilled per call; a longer prompt takes several calls of the same shape."""

    def __post_init__(self) -> None:
        """Refuse shapes without an element."""
        check_options(self)

    def build(self, context: "EngineContext") -> "Engine":
        """Return the engine; rows are spread over `dp` and `fsdp` of the mesh."""
        from burnish.sample.inprocess.engine import build_engine

        return build_engine(
            context,
            slots=self.slots,
            decode_steps=self.decode_steps,
            refill_slots=self.refill_slots,
            prefill_rows=self.prefill_rows,
            prefill_tokens=self.prefill_tokens,
        )
