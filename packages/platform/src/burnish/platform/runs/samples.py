"""What the model wrote, kept for reading: one JSON line per sample under `samples/`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SampleWriter:
    """Append samples of one stage to one file; rows start with `stage` and `step`, as in `metrics.jsonl`."""

    path: Path
    stage: str
    is_primary: bool = True
    """Whether this process writes; the others leave it to the primary one."""

    def write(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append `rows` of one step in one write."""
        if not self.is_primary:
            return
        lines = [json.dumps({"stage": self.stage, "step": step, **row}) + "\n" for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
