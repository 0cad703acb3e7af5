"""A model that is cut off at any operation of its export or its hand-over arrives whole, bit for bit."""

import errno
import shutil
from pathlib import Path

import pytest

from burnish.platform.cli import exit_status
from burnish.platform.configuration.composition import compose_config
from burnish.platform.runs import pipeline
from burnish.platform.testing import left_by
from burnish.platform.testing_disk import WatchedDisk

CHAIN = [
    "stage=sft+sft",
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "evaluation.num_problems=4",
    "engine.slots=4",
    "stages.sft.steps=1",
    "stages.sft.rows_per_step=2",
    "stages.sft_2.steps=1",
    "stages.sft_2.rows_per_step=2",
    "~sink@logging.sinks.tensorboard",
    "~sink@logging.sinks.console",
    "run.name=x",
    "checkpoint.resume_from=latest",
]
RUN = Path("runs/x")
HANDED = ("export", "done.json", "summary.json")
"""What the paths of an export and of a hand-over have in them."""


@pytest.fixture
def start(monkeypatch, tmp_path, compilation_cache, capsys):
    """Return a function that runs the chain in this process: its status and what it says on stderr."""
    monkeypatch.chdir(tmp_path)
    config = compose_config([*CHAIN, f"jax.compilation_cache={compilation_cache}"])

    def call():
        capsys.readouterr()
        status = exit_status("train", lambda _: pipeline.execute(config, overrides=CHAIN), [])
        return status, capsys.readouterr().err

    return call


def whole_run(start):
    """Run the chain; return what it left and how many operations its exports and hand-overs are."""
    disk = WatchedDisk(RUN, counted=HANDED)
    with disk.only_watching():
        assert start() == (0, "")
    assert len(disk.operations) > 50
    return left_by(RUN), len(disk.operations)


def test_an_export_cut_at_any_operation_is_made_again_bit_for_bit(start, record_property):
    whole, count = whole_run(start)
    record_property("operations cut", count)
    for number in range(count):
        shutil.rmtree("runs")
        disk = WatchedDisk(RUN, counted=HANDED)
        with disk.dying_at(number) as died:
            start()
        assert died
        assert start()[0] == 0
        assert left_by(RUN) == whole, disk.operations[number]


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_full_disk_at_an_export_is_one_line_and_the_run_goes_on(start, every, record_property):
    whole, count = whole_run(start)
    record_property("operations failed", len(range(0, count, every)))
    for number in range(0, count, every):
        shutil.rmtree("runs")
        disk = WatchedDisk(RUN, counted=HANDED)
        with disk.failing_at(number, errno.ENOSPC, is_lasting=True):
            status, err = start()
        assert (status, err.count("\n")) in ((2, 1), (0, 0)), err
        assert not list(RUN.rglob(".*.writing"))
        assert start()[0] == 0
        assert left_by(RUN) == whole, disk.operations[number]


def test_twin_an_export_that_is_altered_after_it_is_handed_over_is_seen(start):
    whole, _ = whole_run(start)
    weights = next(RUN.glob("stages/1-sft/export/model.safetensors"))
    weights.write_bytes(bytes(weights.stat().st_size))
    assert left_by(RUN) != whole
