"""A reward that does not end is told of while it runs, and does not keep the process."""

import signal
import subprocess
import sys
import time

import pytest

from burnish.llm.sequence import make_sample
from burnish.sample.rewards.overdue import in_daemon_thread
from burnish.sample.rewards.protocol import RewardResult
from burnish.sample.rewards.score import score

pytestmark = pytest.mark.fast

SAMPLES = [make_sample([1], [2])]
HUNG = """
import signal, {library}
from burnish.llm.sequence import make_sample
from burnish.sample.rewards.score import score

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it


{prefix}def hung(samples):
    time.sleep(1000)

score([make_sample([1], [2])], {{"hung": hung}}, timeout_seconds=0.2)
"""


def taking(seconds):
    def reward(samples):
        time.sleep(seconds)
        return [RewardResult(1.0) for _ in samples]

    return reward


@pytest.mark.parametrize(("seconds", "is_told"), [(0.4, True), (0.0, False)])
def test_a_synchronous_reward_that_outlives_its_timeout_is_told_and_counts(seconds, is_told, capsys):
    scored = score(SAMPLES, {"slow": taking(seconds)}, timeout_seconds=0.1)
    assert scored.samples[0].reward == 1.0
    err = capsys.readouterr().err
    assert ("reward 'slow' has run for more than 0.1 seconds" in err) == is_told
    assert err.count("\n") == is_told


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_reward_that_hangs_is_told_of_and_a_signal_ends_the_process(prefix):
    program = HUNG.format(library="time", prefix=prefix)
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "reward 'hung' has run for more than" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=20) != 0
        finally:
            process.kill()
        assert "KeyboardInterrupt" in process.stderr.read()


def test_what_a_thread_raises_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        in_daemon_thread(lambda: 1 // 0)
