"""Event files: every row in its file at once, one file per start and stage, and cut as rows are."""

import os
import signal
import subprocess
import sys
import time

import pytest

from burnish.platform import atomic
from burnish.platform.errors import RunError
from burnish.platform.statistics import event_files
from burnish.platform.statistics.event_files import event_cuts, new_event_file
from burnish.platform.statistics.sink import RunEnd, Samples, SinkRow
from burnish.platform.statistics.sinks.tensorboard import TensorBoardSink
from burnish.platform.testing import shown_points

pytestmark = pytest.mark.fast

END = RunEnd("complete")


def _row(step, stage="sft", before=0):
    return SinkRow(stage=stage, step=step, last_step=20, global_step=before + step)


def _write(directory, steps, stage="sft"):
    sink = TensorBoardSink(directory)
    for step in steps:
        sink.commit(_row(step, stage), {"x": float(step)})
    sink.close(END)


def _points(*steps):
    return [("x", step, float(step)) for step in steps]


def test_finite_numbers_stand_at_global_steps_under_the_namespace(tmp_path):
    sink = TensorBoardSink(tmp_path, "team")
    sink.commit(_row(1, before=7), {"train/loss": 0.5, "bad": float("inf"), "none": float("nan")})
    sink.close(END)
    assert shown_points(tmp_path) == [("team/train/loss", 8, 0.5)]


@pytest.mark.parametrize("count", [0, 2])
def test_samples_stand_as_a_table_at_the_step_of_their_row(tmp_path, count):
    sink = TensorBoardSink(tmp_path, "team", count)
    rows = [{"prompt": f"{i}|{i}<b>\n=", "reward": i, "more": 0} for i in range(5)]
    sink.show(Samples(stage="sft", step=3, name="eval", rows=rows, shown=["prompt", "reward"]))
    sink.show(Samples(stage="sft", step=4, name="eval", rows=rows, shown=["prompt", "reward"]))
    sink.commit(_row(4, before=7), {"x": 1.0})
    sink.commit(_row(5, before=7), {"x": 1.0})
    sink.close(END)
    table = (
        "| prompt | reward |\n| --- | --- |\n| 0&#124;0&lt;b&gt;<br>= | 0 |\n| 1&#124;1&lt;b&gt;<br>= | 1 |"
    )
    texts = [("team/samples/eval/text_summary", 11, table)] if count else []
    assert shown_points(tmp_path) == [("team/x", 11, 1.0), *texts, ("team/x", 12, 1.0)]


def test_a_row_is_in_its_file_when_commit_returns(tmp_path):
    sink = TensorBoardSink(tmp_path)
    for step in range(3):
        sink.commit(_row(step), {"x": float(step)})
        assert shown_points(tmp_path) == _points(*range(step + 1))
    sink.close(END)


KILLED = """
import os, signal, sys
from pathlib import Path
from burnish.platform.statistics.sink import SinkRow
from burnish.platform.statistics.sinks.tensorboard import TensorBoardSink
sink = TensorBoardSink(Path(sys.argv[1]))
for step in range(40):
    row = SinkRow(stage="sft", step=step, last_step=40, global_step=step)
    sink.commit(row, {"x": float(step)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_after_its_last_row_has_lost_none(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert shown_points(tmp_path) == _points(*range(40))


def test_each_start_and_stage_has_a_file_of_its_own_within_one_second(tmp_path):
    sinks = [TensorBoardSink(tmp_path) for _ in range(2)]
    for first, sink in zip((0, 6), sinks, strict=True):
        for number, stage in enumerate(("sft", "eval", "sft_2")):
            step = first + 2 * number
            sink.commit(_row(step, stage), {"x": float(step)})
            sink.commit(_row(step + 1, stage), {"x": float(step + 1)})
        sink.close(END)
    files = event_files.event_files(tmp_path)
    assert [path.name.rpartition(".")[2] for path in files] == ["sft", "eval", "sft_2"] * 2
    assert shown_points(tmp_path) == _points(*range(12))


def test_a_file_is_sorted_after_those_of_a_clock_that_was_ahead(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    _write(tmp_path, range(4))
    monkeypatch.setattr(time, "time", lambda: now)
    _write(tmp_path, range(2, 4))
    assert len(event_files.event_files(tmp_path)) == 2
    assert shown_points(tmp_path) == _points(*range(4))


def test_a_start_shows_nothing_twice_of_what_it_repeats(tmp_path):
    _write(tmp_path, range(4))
    _write(tmp_path, range(2, 4))
    assert shown_points(tmp_path) == _points(*range(4))


def test_twin_an_altered_record_is_seen(tmp_path):
    _write(tmp_path, range(4))
    (path,) = event_files.event_files(tmp_path)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(AssertionError):
        shown_points(tmp_path)


def test_a_row_that_the_disk_does_not_take_leaves_no_torn_record(tmp_path, monkeypatch):
    sink, perform, failing = TensorBoardSink(tmp_path), atomic.perform, {0, 3}

    def half_full(operation, *arguments, **options):
        if operation is os.write and step in failing:
            os.write(arguments[0], arguments[1][:5])
            raise OSError("no space is left")
        return perform(operation, *arguments, **options)

    monkeypatch.setattr(atomic, "perform", half_full)
    for step in range(5):
        if step in failing:
            with pytest.raises(OSError, match="no space"):
                sink.commit(_row(step), {"x": float(step)})
        else:
            sink.commit(_row(step), {"x": float(step)})
    sink.close(END)
    assert shown_points(tmp_path) == _points(1, 2, 4)
    assert len(event_files.event_files(tmp_path)) == 1


def test_when_the_directory_is_taken_is_fatal(tmp_path):
    (tmp_path / "tb").write_text("a file")
    with pytest.raises(RunError, match="cannot write"):
        TensorBoardSink(tmp_path)


@pytest.fixture
def begun(tmp_path):
    """A run of two stages whose first was cut at step 1 by the records that are returned with it."""
    sink = TensorBoardSink(tmp_path)
    for step in range(2):
        sink.commit(_row(step), {"x": float(step)})
    records = {str(p.relative_to(tmp_path)): p.stat().st_size for p in event_files.event_files(tmp_path)}
    sink.commit(_row(2), {"x": 2.0, "only/then": 1.0})
    sink.close(END)
    _write(tmp_path, range(2, 4))
    _write(tmp_path, range(4, 6), "eval")
    (tmp_path / "tb" / "events.out.tfevents.1.other").write_text("not ours")
    return tmp_path, records


def _cut(run, *arguments):
    for cut in event_cuts(run, *arguments):
        cut()
    assert (run / "tb" / "events.out.tfevents.1.other").read_text() == "not ours"
    (run / "tb" / "events.out.tfevents.1.other").unlink()
    return shown_points(run)


def test_a_cut_within_a_stage_keeps_what_the_checkpoint_had(begun):
    run, records = begun
    assert _cut(run, ["eval"], ["sft"], records) == _points(0, 1)
    assert [path.stat().st_size > 0 for path in event_files.event_files(run)] == [True, False, False]


def test_a_cut_before_a_stage_keeps_the_stages_before(begun):
    run, _ = begun
    assert ("x", 4, 4.0) not in _cut(run, ["eval"], ["sft"], None)
    assert ("x", 3, 3.0) in shown_points(run)


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "twin"])
def test_a_start_without_this_sink_leaves_nothing_stale_behind(tmp_path, is_cut):
    """The run goes back to step 1, as far as step 3 without the sink, and on with it."""
    _write(tmp_path, range(2))
    (path,) = event_files.event_files(tmp_path)
    records = {str(path.relative_to(tmp_path)): path.stat().st_size}
    _write(tmp_path, [2])
    if is_cut:
        for cut in event_cuts(tmp_path, [], ["sft"], records):
            cut()
    _write(tmp_path, range(4, 6))
    assert (shown_points(tmp_path) == _points(0, 1, 4, 5)) == is_cut


def test_a_stage_whose_name_has_a_dot_is_cut_too(tmp_path):
    _write(tmp_path, range(2), "my.stage")
    for cut in event_cuts(tmp_path, ["my.stage"], [], None):
        cut()
    assert shown_points(tmp_path) == []


def test_a_cut_never_lengthens(begun):
    run, records = begun
    (path,) = records
    (run / path).write_bytes((run / path).read_bytes()[:7])
    for cut in event_cuts(run, [], ["sft"], records):
        cut()
    assert (run / path).stat().st_size == 7


def test_a_new_file_of_a_run_without_any_is_of_this_second(tmp_path):
    before = int(time.time())
    path = new_event_file(tmp_path, "sft")
    assert before <= int(path.name.split(".")[3]) <= int(time.time())
