"""What becomes of a process that is asked to end: always the same, whatever it is busy with."""

import os
import signal
import subprocess
import sys
import time

import pytest

TAKING = "from burnish.platform.signals import end_at_signals; end_at_signals('train')\n"
IN_A_CALLBACK = """
import gc, os, signal, time

gc.callbacks.append(lambda *_: os.kill(os.getpid(), signal.SIGINT))
gc.collect()
time.sleep(1.0)
print("goes on", flush=True)
os._exit(0)
"""
HELD = """
import hashlib, threading
from burnish.platform.runs.interrupts import Interrupts

with Interrupts() as interrupts:
    {work}
"""
IN_C = """print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)  # as a compile: lets threads run, reads no signal
"""
IGNORING = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
WITH_A_CHILD = """
import os, signal, sys, time
from burnish.platform.runs.interrupts import Interrupts

with Interrupts() as interrupts:
    child = os.fork()
    if child == 0:
        print("child", flush=True)
        time.sleep(60)
    sys.stdout.flush()
    time.sleep(1.0)
    os.kill(child, signal.SIGTERM)
    print(os.waitpid(child, 0)[1], interrupts.pending)
"""
OF_ANOTHER = """
import os, signal
reads, writes = os.pipe()
os.set_blocking(writes, False)
signal.set_wakeup_fd(writes)
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal():
    """What the tests start ignores no signal, though `nohup` and a shell's background jobs do."""
    before = {
        number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGHUP)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(program, *numbers, apart=1.3):
    """Run a program, send it signals as it says that it is ready, seconds apart: (status, stdout, stderr)."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for number, answering in zip(numbers, (process.stdout, process.stderr), strict=False):
                assert answering.readline()
                time.sleep(apart if answering is process.stderr else 0.0)
                process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, err


def test_a_signal_in_a_callback_of_the_garbage_collector_ends_the_process():
    assert ended(TAKING + IN_A_CALLBACK) == (130, "", "train: interrupted by SIGINT\n")


def test_twin_an_exception_in_a_callback_of_the_garbage_collector_is_lost():
    status, out, err = ended(IN_A_CALLBACK)
    assert (status, out) == (0, "goes on\n")
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_a_command_while_c_code_works(number, status):
    program = TAKING + HELD.format(work=IN_C)
    name = number.name
    assert ended(program, number, number) == (
        status,
        "",
        f"train: interrupted by {name}; nothing is saved beyond the last checkpoint\n",
    )


def test_a_signal_that_comes_twice_at_once_is_one_and_saves():
    program = TAKING + HELD.format(work=IN_C.replace("200_000_000", "8_000_000"))
    program += "    print('worked', interrupts.pending)\n"
    assert ended(program, signal.SIGTERM, signal.SIGTERM, apart=0.0) == (
        0,
        f"worked {signal.SIGTERM.value}\n",
        "",
    )


def test_the_line_of_a_second_signal_says_how_to_go_on():
    program = TAKING + HELD.format(work=IN_C).replace("Interrupts()", "Interrupts('train stage=sft')")
    _, _, err = ended(program, signal.SIGINT, signal.SIGINT)
    assert err.endswith("; nothing is saved beyond the last checkpoint; go on with: train stage=sft\n")


OF_OTHERS = """
import os, signal, sys, time
from burnish.platform.runs.interrupts import Interrupts
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with Interrupts():
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
"""


def test_a_second_signal_goes_to_a_handler_of_somebody_else():
    assert ended(TAKING + OF_OTHERS)[0] == 7


def test_empty_directories_are_removed_as_a_signal_ends_the_process_and_no_others(tmp_path):
    program = (
        "import os, pathlib, signal\nfrom burnish.platform.signals import removed_at_end\n"
        f"made = [pathlib.Path({str(tmp_path)!r}, name) for name in ('a', 'a/b', 'c')]\n"
        "for path in made: path.mkdir()\n"
        "with removed_at_end(made[2:]): pass\n"
        "with removed_at_end(made[:2]): os.kill(os.getpid(), signal.SIGTERM); __import__('time').sleep(9)\n"
    )
    assert ended(TAKING + program)[0] == 143
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_twin_an_exception_waits_for_the_end_of_c_code():
    program = HELD.format(work=IN_C.replace("200_000_000", "8_000_000"))
    program += "    print('worked', interrupts.pending)\n"
    status, out, err = ended(program, signal.SIGTERM)
    assert (status, out) == (0, f"worked {signal.SIGTERM.value}\n")
    assert err.startswith("stopping after the step at hand")


def test_a_signal_that_a_command_ignores_stays_ignored():
    program = IGNORING + TAKING + "import os; os.kill(os.getpid(), signal.SIGTERM); print('goes on')"
    assert ended(program) == (0, "goes on\n", "")


def test_a_signal_to_a_forked_child_is_none_to_its_parent():
    status, out, err = ended(TAKING + WITH_A_CHILD)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == f"{signal.SIGTERM.value} None"


def test_a_descriptor_of_somebody_else_is_left_in_its_place():
    program = TAKING + OF_ANOTHER
    assert ended(program)[::2] == (143, "train: interrupted by SIGTERM\n")
    kept = "from burnish.platform.signals import _listener\nprint(_listener.is_listening())\n"
    kept += "print(signal.set_wakeup_fd(-1) == writes)"
    assert ended(TAKING + OF_ANOTHER.rpartition("os.kill")[0] + kept)[1] == "False\nTrue\n"


def test_of_signals_held_twice_the_outermost_holds_and_both_know():
    program = (
        "import os, signal\nfrom burnish.platform.runs.interrupts import Interrupts, pending_signal\n"
        "with Interrupts():\n"
        "    with Interrupts() as inner:\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        print(inner.pending)\n"
        "    print(pending_signal())\n"
        "print(pending_signal())\n"
    )
    assert ended(program)[1].split() == ["1", "1", "None"]


def test_nobody_told_is_no_error(monkeypatch):
    from burnish.platform import signals

    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", gone)
    signals.say("stopping")
