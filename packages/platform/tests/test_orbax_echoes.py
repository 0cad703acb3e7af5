"""What orbax prints of an error that it raises too is silent, and whatever else is printed stays."""

import subprocess
import sys

import pytest

from burnish.platform import atomic

BEGIN = """
import asyncio, gc, logging, threading
import tensorstore
from burnish.platform.checkpoint.orbax_echoes import silence_echoes
"""
CLOSED_LOOP = """
promise, future = tensorstore.Promise.new()

async def waiting():
    await future

loop = asyncio.new_event_loop()
task = loop.create_task(waiting())
task._log_destroy_pending = False  # as that of a task in `asyncio.gather`
loop.run_until_complete(asyncio.sleep(0))
loop.close()
thread = threading.Thread(target=promise.set_result, args=(1,))
thread.start()
thread.join()
"""
NEVER_ASKED_FOR = """
future = asyncio.new_event_loop().create_future()
future.set_exception(ValueError({said!r}))
del future
gc.collect()
"""
FULL = (
    'RESOURCE_EXHAUSTED: Error writing "w/0.0" at local file "/runs/x/arrays.orbax-checkpoint-tmp/d/": '
    "Failed to write: No space left on device [os_error_code='28']"
)
OF_A_FILE = """
future = asyncio.new_event_loop().create_future()
try:
    exec(compile("raise OSError(28, 'No space left on device')", {file!r}, "exec"))
except OSError as error:
    future.set_exception(error)
del future
gc.collect()
"""
BY_ORBAX = "/site-packages/orbax/checkpoint/path.py"
IN_A_FINALIZER = """
class Broken:
    def __del__(self):
        raise RuntimeError("Event loop is closed")

Broken()
"""
LOGGED = "logging.getLogger('absl').error('of another', exc_info=ValueError('a bug'))"


def printed(*lines):
    script = "\n".join([BEGIN, *lines])
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return ended.stderr


@pytest.mark.parametrize(
    "echo", [CLOSED_LOOP, NEVER_ASKED_FOR.format(said=FULL), OF_A_FILE.format(file=BY_ORBAX)]
)
def test_an_echo_is_silent_and_its_twin_is_not(echo):
    assert printed("silence_echoes()", echo) == ""
    assert printed(echo) != ""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (IN_A_FINALIZER, "RuntimeError: Event loop is closed"),
        (NEVER_ASKED_FOR.format(said="a bug"), "ValueError: a bug"),
        (NEVER_ASKED_FOR.format(said=FULL.replace("orbax", "other")), "No space left on device"),
        (NEVER_ASKED_FOR.format(said=FULL.replace("os_error", "status")), "No space left on device"),
        (OF_A_FILE.format(file="/site-packages/other/path.py"), "No space left on device"),
        (LOGGED, "ValueError: a bug"),
    ],
)
def test_what_nobody_else_tells_is_printed(script, said):
    assert said in printed("silence_echoes()", script)


def test_an_error_of_the_disk_is_found_in_the_words_of_a_library():
    found = atomic.error_of_disk(ValueError(FULL))
    assert (found.errno, found.strerror) == (28, "No space left on device")
    assert atomic.error_of_disk(ValueError("RESOURCE_EXHAUSTED: out of memory")) is None
