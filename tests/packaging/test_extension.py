"""A wheel made outside of the repository adds a slot, a component, a stage and a metric."""

CONFIG = """\
from dataclasses import dataclass
from typing import Any

from burnish.platform import slot
from burnish.platform.statistics.metric import Metric
from burnish.platform.statistics.tracker import StatsTracker

CALM = Metric(name="mood/calm", label="calm")


@dataclass(frozen=True, kw_only=True)
class Good:
    strength: float = 0.5

    def build(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Ponder:
    mood: Any = slot("mood", "good")
    steps: int = 1

    def build(self, run, **components):
        return Pondering(self, run)


class Pondering:
    def __init__(self, config, run):
        self.config, self.stage_run = config, run

    def run(self, artifacts):
        for step in self.stage_run.steps(self.config.steps):
            stats = StatsTracker()
            stats.scalar("mood/calm", self.config.mood.strength)
            self.stage_run.commit(step, stats)
        return artifacts
"""


def test_wheel_adds_a_slot_a_component_a_stage_and_a_metric(environment, rival_wheel, tmp_path):
    installed = environment("burnish-platform", "burnish-minimal-plugin")
    wheel = rival_wheel(
        "deep-thought",
        {"config.py": CONFIG},
        stage='ponder = "deep_thought.config:Ponder"',
        mood='good = "deep_thought.config:Good"',
        metric='calm = "deep_thought.config:CALM"',
    )
    words = ("stage=ponder", "run.name=trial")
    before = installed.run("train", *words, cwd=tmp_path)
    assert before.returncode == 2
    assert "unknown stage 'ponder'" in before.stderr

    installed.pip("install", "--no-deps", str(wheel))
    try:
        done = installed.run("train", *words, "stages.ponder.mood.strength=0.75", cwd=tmp_path)
        listed = installed.run("burnish", "plugins", "list", cwd=tmp_path)
    finally:
        installed.pip("uninstall", "deep-thought")

    assert done.returncode == 0, done.stderr
    assert "calm 0.75" in done.stdout
    assert ["mood", "good", "deep-thought", "2.5.0"] in [
        line.split()[:4] for line in listed.stdout.splitlines()
    ]
