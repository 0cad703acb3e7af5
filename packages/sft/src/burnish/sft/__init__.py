"""Supervised next-token training as a burnish stage."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.sft.config import SFT
    from burnish.sft.formats import Demonstrations, encode
    from burnish.sft.loop import run_sft

__all__ = [
    "SFT",
    "Demonstrations",
    "encode",
    "run_sft",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Demonstrations": "formats",
            "SFT": "config",
            "encode": "formats",
            "run_sft": "loop",
        },
    )
