"""What tests would else copy: devices, runs, data in memory, toy distributions, the command.

For tests alone: it imports pytest, which no package depends on, and nothing imports it at run time. Fixtures
are taken into a `conftest.py` by import: `from burnish.platform.testing import train as train`.
"""

import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.data.source import DataContext, Record
from burnish.platform.device.mesh import build_mesh
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.sink import RunEnd, SinkRow
from burnish.platform.statistics.summary import without_machine

DEVICES = "JAX_NUM_CPU_DEVICES"


def use_virtual_devices(count: int = 8) -> None:
    """Give jax as many CPU devices, unless the environment has a number, and refuse rank promotion.

    To be called by a `conftest.py`, before anything is computed; processes that tests start have the same.
    """
    import jax

    if DEVICES not in os.environ:
        os.environ[DEVICES] = str(count)
        jax.config.update("jax_num_cpu_devices", count)  # pyright: ignore[reportUnknownMemberType] - jax's is partial
    jax.config.update("jax_numpy_rank_promotion", "raise")  # pyright: ignore[reportUnknownMemberType] - jax's is partial


@pytest.fixture
def make_mesh() -> Callable[..., Any]:
    """Return a maker of meshes over the virtual devices, by the sizes of their axes."""
    return _mesh


def _mesh(dp: int = 1, fsdp: int = 1, tp: int = 1) -> Any:
    return build_mesh(dp, fsdp, tp)


class KeptRows:
    """A sink that keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Keep the statistics with their step."""
        self.rows.append({"step": row.step, **stats})

    def close(self, end: RunEnd) -> None:
        """Have nothing to let go of."""


def make_run(directory: Path, stage: str, sink: KeptRows) -> StageRun:
    """Return the only stage's hold on a run in `directory`; its rows go to `sink`."""
    root = RunDirectory(directory)
    return StageRun(
        root=root,
        index=1,
        name=stage,
        seed=0,
        jax=JaxConfig(),
        logger=StatsLogger({"kept": sink}),
        manager=CheckpointManager(root.stage(1, stage) / "checkpoints"),
    )


def shown_points(run: Path) -> list[tuple[str, int, float | str]]:
    """Return (tag, step, value) of all numbers and texts that TensorBoard shows of a run, in order.

    Read from the format's definition: files in the order of their names, of records with two checksums each;
    a start of a session drops the points from its step on. `AssertionError` for a record that is torn,
    altered, or behind a later one of its file.
    """
    messages: Any = import_module("tensorboardX.proto.event_pb2")
    points: list[tuple[str, int, float | str]] = []
    for path in sorted((run / "tb").glob("*")):
        last = 0
        for record in _records(path.read_bytes()):
            event = messages.Event.FromString(record)
            assert event.step >= last, f"{path}: step {event.step} after {last}"
            last = event.step
            if event.session_log.status == messages.SessionLog.START:
                points = [point for point in points if point[1] < event.step]
            points += [(value.tag, event.step, _point(value)) for value in event.summary.value]
    return points


def _point(value: Any) -> float | str:
    return value.tensor.string_val[0].decode() if value.HasField("tensor") else value.simple_value


def left_by(run: Path) -> dict[str, Any]:
    """Return what a run leaves, but for clocks and machine: what two runs of one config have alike."""
    kept = [*run.glob("stages/*/export/*"), *run.glob("stages/*/done.json"), *run.glob("samples/*")]
    names = [path.relative_to(run).as_posix() for path in run.rglob("*")]
    return {
        "rows": [without_machine(row) for row in read_rows(run / "metrics.jsonl")],
        "points": [point for point in shown_points(run) if without_machine({point[0]: point[2]})],
        "files": {path.relative_to(run).as_posix(): path.read_bytes() for path in kept},
        "names": sorted(name for name in names if not name.startswith("tb/")),
        "phase": json.loads((run / "status.json").read_bytes())["phase"],
    }


def _records(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        length, checksum = struct.unpack_from("<QI", content, at)
        assert checksum == _masked_checksum(content[at : at + 8]), f"length at byte {at}"
        at += 12 + length
        assert at + 4 <= len(content), f"torn at byte {at}"
        assert struct.unpack_from("<I", content, at) == (_masked_checksum(content[at - length : at]),)
        yield content[at - length : at]
        at += 4


def _masked_checksum(content: bytes) -> int:
    """Return CRC-32C (Castagnoli), bit by bit, rotated and shifted as records of TensorFlow have it."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def named(message: str, pattern: str) -> str:
    """Return what a message names: the group of a pattern, which is to be found in it."""
    found = re.search(pattern, message)
    assert found is not None, message
    return found[1]


@dataclass(frozen=True)
class InMemoryData:
    """Records in memory: a source, and a data component whose splits all hold them."""

    rows: tuple[Record, ...]
    names: tuple[str, ...] = ("demonstrations", "prompts", "test")
    fingerprint: str = "rows"

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Record:
        """Return the record at `index`."""
        return self.rows[index]

    def splits(self) -> tuple[str, ...]:
        """Return the splits there are."""
        return self.names

    def build(self, context: DataContext) -> "InMemoryData":
        """Return the records."""
        assert context.split in self.names
        return self


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution for one test: metadata, entry points and files on the import path."""
    roots: list[str] = []

    def install(
        name: str,
        entry_points: Mapping[str, Mapping[str, str]],
        files: Mapping[str, str] | None = None,
        version: str = "1.0",
    ) -> None:
        root = tmp_path / f"site-{name}"
        _write_distribution(root, name, version, entry_points)
        for path, text in (files or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(root)  # pyright: ignore[reportUnknownMemberType] - pytest's is partial
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
        roots.append(str(root))

    yield install
    for name, module in list(sys.modules.items()):
        if any(root in str(getattr(module, "__file__", "")) for root in roots):
            del sys.modules[name]


def _write_distribution(
    root: Path, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]
) -> None:
    info = root / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    groups = [
        f"[burnish.{slot}]\n" + "".join(f"{key} = {value}\n" for key, value in names.items())
        for slot, names in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


@pytest.fixture
def train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run `train` in this process and in an empty directory: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: call_train(words, monkeypatch, capsys)


def call_train(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run `train` in this process and return its exit status and what it printed."""
    from burnish.platform import cli

    monkeypatch.setattr(sys, "argv", ["train", *words])
    monkeypatch.setattr(sys, "path", list(sys.path))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.train()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err
