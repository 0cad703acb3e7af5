"""A stage without a model, as a module that tests install: it walks, and ends as its options say."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from burnish.platform import atomic
from burnish.platform.checkpoint.manifest import verify, write_manifest
from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.errors import DataError
from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Tally:
    steps: int = 4
    fails_at: int = -1
    stops_at: int = -1
    is_terminated_at: int = -1
    finishes_at: int = -1
    is_killed_before_export: int = -1
    breaks_at: int = -1
    breaks_late: int = -1

    def build(self, run):
        return TallyStage(self, run)


class Walk:
    def __init__(self):
        self.value = np.zeros(3, np.float32)

    @property
    def state_version(self):
        return self.value.tobytes()

    def save_state(self):
        return Snapshot(trees={"params": {"value": self.value}}, json={"sign": 1})

    def load_state(self, restored):
        self.value = restored.tree("params", {"value": self.value})["value"] * restored.json["sign"]


class Count:
    def __init__(self):
        self.begun = {"steps": 0}

    def save_state(self):
        return Snapshot(json={"begun": self.begun})

    def load_state(self, restored):
        self.begun = dict(restored.json["begun"])


class TallyStage:
    def __init__(self, config, run):
        self.config, self.run_ = config, run

    def run(self, artifacts):
        config, run, walk, count = self.config, self.run_, Walk(), Count()
        received = artifacts.get("walk")
        offset = 0.0 if received is None else float(verify(received).directory.joinpath("value").read_text())
        for step in run.steps(config.steps, walk=walk, count=count):
            count.begun["steps"] += 1
            if step == config.breaks_at:
                raise DataError("the data ends here")
            if step:
                walk.value = walk.value * np.float32(0.7) + np.float32(step + offset)
            if step == config.is_terminated_at:
                os.kill(os.getpid(), signal.SIGTERM)
            if step == config.breaks_late:
                raise DataError("the server is gone")
            if step == config.fails_at:
                raise ZeroDivisionError("a bug")
            if step == config.stops_at:
                run.stop("it walked too far")
            if step == config.finishes_at:
                run.finish("it walked enough")
            run.samples("walk").write(step, [{"value": float(walk.value[0])}])
            stats = StatsTracker()
            stats.scalar("walk/value", walk.value[0])
            stats.scalar("walk/steps", count.begun["steps"])
            stats.scalar("eval/accuracy", -abs(step - 2))
            run.commit(step, stats)
        if config.is_killed_before_export == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        directory = run.stage_directory / "export"
        with atomic.publishing_directory(directory) as aside:
            atomic.write_file(aside / "value", str(walk.value[0]).encode())
            write_manifest(aside, {})
        return artifacts.including("walk", directory)
