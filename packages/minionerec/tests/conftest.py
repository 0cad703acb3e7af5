import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class TinyDataset:
    """Three items, two of which share a semantic ID; `write` puts the files down as they stand."""

    directory: Path
    index: dict[str, object] = field(
        default_factory=lambda: {"0": ["<a_1>", "<b_2>"], "1": ["<a_1>", "<b_2>"], "2": ["<a_1>", "<b_7>"]}
    )
    texts: dict[str, object] = field(
        default_factory=lambda: {
            str(number): {"title": title, "description": "['x']", "brand": "B", "categories": ""}
            for number, title in enumerate(["Glue", "Glue, 2-pack", 'Tape 1/2"'])
        }
    )
    info: list[str] = field(
        default_factory=lambda: [
            "<a_1><b_2>\tGlue\t0",
            "<a_1><b_2>\tGlue, 2-pack\t1",
            '<a_1><b_7>\tTape 1/2"\t2',
        ]
    )

    def write(self) -> tuple[Path, Path, Path]:
        paths = tuple(self.directory / name for name in ("x.index.json", "x.item.json", "x.txt"))
        paths[0].write_text(json.dumps(self.index, indent=0), encoding="utf-8")
        paths[1].write_text(json.dumps(self.texts, indent=2), encoding="utf-8")
        paths[2].write_text("".join(line + "\n" for line in self.info), encoding="utf-8")
        return paths


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> TinyDataset:
    return TinyDataset(tmp_path)


@pytest.fixture(scope="session")
def amazon_file() -> Callable[[str], Path]:
    """Find a file of the Industrial_and_Scientific data by its pattern, or skip."""
    checkout = Path(__file__).resolve().parents[3]
    data = Path(os.environ.get("BURNISH_DATA", checkout.parent / "shared" / "data"))
    directory = data / "amazon"

    def find(pattern: str) -> Path:
        if not directory.is_dir():
            pytest.skip(f"no Amazon data at {directory}; set BURNISH_DATA to the folder that holds amazon/")
        return next(directory.glob(pattern))

    return find
