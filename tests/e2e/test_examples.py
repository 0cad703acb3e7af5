"""The loops in one file each learn something within a few steps."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def printed(name: str, *words: str) -> str:
    """Return what an example prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_on_a_backends_verbs_gets_surer_of_the_right_tokens():
    certainty = [
        float(each) for each in re.findall(r"step \d+: ([.\d]+) certain", printed("training_loop.py", "100"))
    ]
    assert len(certainty) == 2
    assert 0.4 < certainty[0] < certainty[1]


def test_the_loops_of_both_stages_bring_their_numbers():
    text = printed("rl_loop.py", "100", "2")
    losses = re.findall(r"step 100: loss ([.\d]+)", text)
    assert float(losses[0]) < 1.5
    assert len(re.findall(r"accuracy", text)) >= 3
