"""A sweeper that decides on its jobs as it goes: a small one of Hydra's kind that climbs."""

import importlib
import sys
from pathlib import Path

import pytest

from burnish.platform.runs.sweeps.records import read_records

WORTH = ("run.sweep_metric=eval/accuracy",)

SWEEPER = """
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper


class Climbing(Sweeper):
    def __init__(self, direction):
        self.direction = direction

    def setup(self, *, hydra_context, task_function, config):
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments):
        fixed = [word for word in arguments if "interval" not in word]
        before, better = None, -1 if self.direction == "minimize" else 1
        for job, steps in enumerate((1, 2, 3, 4)):
            words = [[*fixed, f"stages.tally.steps={steps}"]]
            (done,) = self.launcher.launch(words, initial_job_idx=job)
            if done.status is JobStatus.FAILED:
                raise ValueError("no trial is complete")
            if before is not None and (done.return_value - before) * better < 0:
                return
            before = done.return_value


def install():
    Plugins.instance().register(Climbing)
    from enum import Enum

    name, default = f"{__name__}.Climbing", Enum("Direction", ["minimize", "maximize"]).minimize
    node = {"_target_": name, "direction": default}
    ConfigStore.instance().store(group="hydra/sweeper", name="climbing", node=node)
"""


@pytest.fixture
def climbing(distribution, tally):
    """A sweeper that goes on while jobs become better, and whose own direction is the wrong one."""
    distribution("climbing", {}, {"hydra_plugins/climbing.py": SWEEPER})
    importlib.import_module("hydra_plugins.climbing").install()
    words = ("hydra/sweeper=climbing", "stages.tally.steps=int(interval(1,4))")
    yield lambda *more: tally(*tally.sweep, *words, *more)
    del sys.modules["hydra_plugins.climbing"]


def test_a_sweeper_that_decides_by_values_gets_them(climbing):
    status, out, err = climbing(*WORTH)
    assert (status, err) == (0, "")
    rows = [["runs/x-1", "0"], ["runs/x-0", "-1"], ["runs/x-2", "-1"]]
    assert [line.split()[:2] for line in out.splitlines()[-4:-1]] == rows


def test_a_direction_of_the_sweepers_that_is_set_wins(climbing):
    status, out, _ = climbing(*WORTH, "hydra.sweeper.direction=minimize")
    assert status == 0
    assert "2 of 2 jobs, lowest eval/accuracy first" in out
    status, _, err = climbing(*WORTH, "hydra.sweeper.direction=[minimize,maximize]", "run.name=y")
    assert (status, err.count("\n")) == (2, 1)
    assert "hydra.sweeper.direction: there is one value per job" in err
    status, _, err = climbing(*WORTH, "hydra.sweeper.direction=[minimize]", "run.name=y", "--dry-run")
    assert (status, err) == (0, "")


def test_a_sweeper_that_decides_by_values_is_told_which_before_the_first(climbing, tmp_path):
    status, out, err = climbing()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "hydra/sweeper=climbing decides by what each job is worth; set run.sweep_metric to the name" in err
    assert not (tmp_path / "runs").exists()
    assert climbing(*WORTH)[0] == 0


def test_a_sweeper_that_decides_by_values_has_its_ends_checked_before_the_first(climbing, tmp_path):
    for word in ("stages.tally.fails_at=1,0.5", "checkpoint.save_every_steps=int(interval(-1,3))"):
        status, out, err = climbing(*WORTH, word)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"): {word.partition('=')[0]}" in err
    assert not (tmp_path / "runs").exists()
    status, out, _ = climbing(*WORTH, "--dry-run")
    assert status == 0
    assert out.startswith("the sweeper makes its jobs as it goes; these stand for them")
    assert not (tmp_path / "runs").exists()


def test_a_sweeper_that_decides_by_values_hears_of_a_failure(climbing):
    status, _, err = climbing(*WORTH, "stages.tally.breaks_at=2")
    assert status == 2
    assert [(record.job, record.phase) for record in read_records(Path("runs/sweeps/x"))] == [
        (0, "complete"),
        (1, "failed"),
    ]
    assert err.splitlines()[-1] == "train: 1 of 2 jobs failed: 1; the table says why"
    status, _, err = climbing(*WORTH)
    assert (status, err.count("\n")) == (2, 1)
    assert "run.name='x-0' exists in 'runs'" in err
