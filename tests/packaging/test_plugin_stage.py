"""A training stage of somebody else's wheel: installed beside the wheels of burnish, it trains and helps."""

import json
import re
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "examples" / "plugin-stage"


@pytest.fixture(scope="session")
def installed(environment):
    return environment("burnish-dpo", "burnish-sft", "pytest")


def accuracies_in_the_readme() -> list[float]:
    """Return what the README promises of seed 0, after SFT and after DPO, from 0 to 1."""
    text = (PLUGIN / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| .*after .*? \| [*]*([\d.]+)", text, re.MULTILINE)
    return [float(number) / 100 for number in found]


def test_it_brings_what_it_declares_and_no_other_stage(environment, tmp_path):
    alone = environment("burnish-dpo")
    assert alone.modules(tmp_path) == {"platform", "llm", "sample"}
    listed = alone.run("burnish", "describe", "stage=dpo", cwd=tmp_path)
    assert "from burnish-dpo 0.1.0" in listed.stdout
    assert "pairs_per_step" in listed.stdout


def test_chain_with_it_gets_as_good_as_its_readme_says(installed, tmp_path):
    done = installed.run("train", "stage=sft+dpo", "run.name=trial", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "preferred" in done.stdout
    summary = json.loads((tmp_path / "runs" / "trial" / "summary.json").read_text(encoding="utf-8"))
    after_sft, after_dpo = accuracies_in_the_readme()
    assert summary["sft"]["eval/accuracy"] == pytest.approx(after_sft, abs=0.1)
    assert summary["dpo"]["eval/accuracy"] == pytest.approx(after_dpo, abs=0.1)


def test_its_own_tests_pass_against_the_wheels(installed, tmp_path):
    options = ("-p", "no:cacheprovider", "-c", str(PLUGIN / "pyproject.toml"))
    done = installed.run("python", "-m", "pytest", *options, str(PLUGIN / "tests"), cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 passed" in done.stdout
