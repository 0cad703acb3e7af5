"""What somebody's wheel adds by its entry points alone: component, slot, stage, metric, default chain."""

import sys

import pytest

from burnish.platform import cli
from burnish.platform.configuration.chain import chain_blocks
from burnish.platform.configuration.composition import compose_config
from burnish.platform.configuration.registry import known_slots
from burnish.platform.errors import ComponentError

pytestmark = pytest.mark.fast

SOURCE = """
from dataclasses import dataclass
from typing import Any

from burnish.platform.configuration.slot_fields import shared, slot
from burnish.platform.statistics.metric import Metric
from burnish.platform.statistics.tracker import StatsTracker

FIRST, LAST = -2, -1
CALM = Metric(name="mood/calm", label="calm")
POISE = Metric(name="eval/poise", label="Poise", order=5)


@dataclass(frozen=True, kw_only=True)
class Good:
    strength: float = 0.5

    def build(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Ponder:
    data: Any = shared("data", "stones")
    mood: Any = slot("mood", "good")
    steps: int = 1

    def build(self, run, **components):
        return Pondering(self, run)


@dataclass(frozen=True, kw_only=True)
class Stones:
    def build(self):
        return self

def whisper(words):
    print("whispers", *words)


class Pondering:
    def __init__(self, config, run):
        self.config, self.stage_run = config, run

    def run(self, artifacts):
        for step in self.stage_run.steps(self.config.steps):
            stats = StatsTracker()
            stats.scalar("mood/calm", self.config.mood.strength)
            stats.scalar("eval/poise", 0.0)
            stats.scalar("eval/haste", 0.0)
            self.stage_run.commit(step, stats)
        return artifacts
"""


@pytest.fixture
def wheel(distribution):
    distribution(
        "somebody",
        {
            "stage": {"ponder": "somebody:Ponder", "rest": "somebody:Ponder"},
            "mood": {"good": "somebody:Good"},
            "data": {"stones": "somebody:Stones"},
            "command": {"whisper": "somebody:whisper"},
            "metric": {"calm": "somebody:CALM", "poise": "somebody:POISE"},
            "default_stage": {"rest": "somebody:LAST", "ponder": "somebody:FIRST"},
        },
        {"somebody.py": SOURCE},
    )


@pytest.mark.usefixtures("wheel")
def test_wheel_when_installed_then_its_stage_runs_over_its_slot_and_its_metrics_are_shown(train):
    status, out, err = train("stage=ponder", "stages.ponder.mood.strength=0.75", "run.name=x")
    assert (status, err) == (0, "")
    assert "calm 0.75" in out, "the console shows what the wheel registers"
    assert "Poise" in out, "the table keeps a registered metric that is zero"
    assert "haste" not in out
    assert "mood" in known_slots()


def test_wheel_when_not_installed_then_nothing_knows_its_names(train):
    assert "mood" not in known_slots()
    assert "unknown stage 'ponder'" in train("stage=ponder")[2]


@pytest.mark.usefixtures("wheel")
def test_default_chain_when_stages_are_registered_for_it_then_stands_in_their_order():
    blocks = list(chain_blocks("default"))
    assert blocks[:2] == ["ponder", "rest"]
    assert list(compose_config(["stages.ponder.mood.strength=1.0"]).stages) == blocks


def test_default_chain_when_a_position_is_no_number_then_says_of_which_stage(distribution):
    distribution("odd", {"default_stage": {"odd": "odd:WHERE"}}, {"odd.py": "WHERE = 'first'"})
    with pytest.raises(ComponentError, match="stage 'odd' is registered for the default chain by no whole"):
        chain_blocks("default")


@pytest.mark.usefixtures("wheel")
def test_command_when_registered_then_is_listed_and_called_with_the_words_after_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["burnish", "whisper", "a=1", "--loud"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, "whispers a=1 --loud\n")
    monkeypatch.setattr(sys, "argv", ["burnish", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert (
        "burnish whisper --help                      a command of somebody 1.0\n" in capsys.readouterr().out
    )
    monkeypatch.setattr(sys, "argv", ["burnish", "whispr"])
    with pytest.raises(SystemExit):
        cli.main()
    assert (
        "unknown command 'whispr' (did you mean 'whisper'?); legal: train, describe"
        in capsys.readouterr().err
    )


def test_command_when_not_installed_then_is_unknown(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["burnish", "whisper"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "unknown command 'whisper'" in capsys.readouterr().err
