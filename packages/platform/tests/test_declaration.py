import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from burnish.platform.checkpoint.backend import CheckpointBackend
from burnish.platform.configuration.conformance import conforming, members
from burnish.platform.configuration.declaration import declaration_of
from burnish.platform.data.source import DataComponent, Source
from burnish.platform.errors import ComponentError
from burnish.platform.runs.stage import Stage, SupportsPlan
from burnish.platform.statistics.sink import RunEnd, Sink

pytestmark = pytest.mark.fast

PROTOCOLS = [CheckpointBackend, DataComponent, Source, Stage, SupportsPlan, Sink, RunEnd]


class Steps(Protocol):
    def step(self, batch: int, outputs: tuple[str, ...] = (), *, words: int | None = None) -> float: ...


class Heir(Steps, Protocol): ...


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_place_of_a_declaration_is_the_line_that_has_it(protocol):
    for name, _ in members(protocol):
        file, _, line = declaration_of(protocol, name).place.rpartition(":")
        root = Path(importlib.import_module("burnish.platform").__path__[0]).parents[1]
        assert re.search(rf"(def {name}\(|{name}:)", (root / file).read_text().splitlines()[int(line) - 1])


def test_text_is_one_line_whoever_of_the_bases_declares():
    text = "def step(self, batch: int, outputs: tuple[str, ...]=(), *, words: int | None=None) -> float"
    assert declaration_of(Heir, "step").text == text
    assert declaration_of(Source, "fingerprint").text == "@property def fingerprint(self) -> str"
    assert declaration_of(RunEnd, "reason").text == "reason: str | None"


class Exact:
    def step(self, batch, outputs=(), *, words=None): ...


class Renamed:
    def step(self, rows, wanted, /, **named): ...


class Wide:
    def step(self, *given, **named): ...


class Deaf:
    def step(self, batch, outputs=()): ...


class Short:
    def step(self, batch, *, words=None): ...


class Greedy:
    def step(self, batch, outputs, more, *, words=None): ...


@dataclass(frozen=True)
class Maker:
    def build(self): ...


@pytest.mark.parametrize("kind", [Exact, Renamed, Wide])
def test_a_method_that_takes_what_its_protocol_gives_conforms(kind):
    made = kind()
    assert conforming("engine", Maker(), made, Steps) is made


@pytest.mark.parametrize("kind", [Deaf, Short, Greedy])
def test_twin_a_method_that_does_not_is_shown_with_the_declaration(kind):
    with pytest.raises(ComponentError) as caught:
        conforming("engine", Maker(), kind(), Steps)
    assert re.search(r"has step\(batch.*\), which cannot be called as Steps is; ", str(caught.value))
    assert f"{declaration_of(Steps, 'step')}" in str(caught.value)
