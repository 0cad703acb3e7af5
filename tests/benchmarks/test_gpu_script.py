"""What `gpu.sh` asks for is there: its own words are taken from it and tried."""

import re
import subprocess
from pathlib import Path

import pytest

from burnish.platform.testing import call_train

pytestmark = pytest.mark.fast

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/gpu.sh"
TEXT = SCRIPT.read_text(encoding="utf-8")


def test_it_is_a_script_whose_parts_fit_in_ten_minutes():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert SCRIPT.stat().st_mode & 0o111
    limits = [int(seconds) for seconds in re.findall(r"^part \S+ (\d+) ", TEXT, re.MULTILINE)]
    assert len(limits) == 7
    assert sum(limits) <= 600


def test_its_runs_take_the_options_it_gives(monkeypatch, capsys):
    (options,) = re.findall(r"options=\((.*)\)", TEXT)
    status, _, said = call_train([*options.split(), "run.name=x", "--cfg", "job"], monkeypatch, capsys)
    assert (status, said) == (0, "")


def test_its_workloads_tests_and_kernels_are_there(benchmark_module):
    names = re.findall(r"workload (\w+)'", TEXT)
    assert set(names) <= benchmark_module("workloads").ALIASES.keys()
    files = re.findall(r"[\w/]+/test_\w+\.py|benchmarks/\w+\.py", TEXT)
    assert len(files) >= 4
    assert all((SCRIPT.parents[1] / file).is_file() for file in files)
