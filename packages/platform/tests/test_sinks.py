import io
import json
import re
import sys
import time

import jax
import pytest
from rich.console import Console

from burnish.platform.activity import activities, busy
from burnish.platform.device.compiles import CompileCounter
from burnish.platform.errors import ComponentError, RunError
from burnish.platform.statistics import sinks
from burnish.platform.statistics.sink import RunEnd, Samples, SinkRow
from burnish.platform.statistics.sinks.console import ConsoleSink
from burnish.platform.statistics.sinks.jsonl import JsonlSink

pytestmark = pytest.mark.fast


def _row(step, stage="sft", last=20, before=0):
    return SinkRow(stage=stage, step=step, last_step=last, global_step=before + step)


END = RunEnd("complete")


def _written(directory, steps):
    sink = JsonlSink(directory)
    for step in steps:
        sink.commit(_row(step), {"train/loss": step / 3})
    sink.close(END)
    return directory / "metrics.jsonl"


def test_jsonl_commit_writes_one_readable_row_at_once(tmp_path):
    sink = JsonlSink(tmp_path)
    sink.commit(_row(3), {"b": 0.1, "a": float("nan")})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert line == '{"stage": "sft", "step": 3, "b": 0.1, "a": null}\n'
    sink.close(END)


def test_jsonl_when_the_directory_is_missing_is_fatal(tmp_path):
    with pytest.raises(RunError, match="cannot write"):
        JsonlSink(tmp_path / "none")


GLANCE = """
from burnish.platform.statistics.metric import Metric

LOSS = Metric(name="toy/loss", label="loss", order=1)
SCORE = Metric(name="toy/score", label="score", order=2, replaces=("toy/loss",))
MARKS = Metric(name="toy/marks", label="marks", is_rate=True)
NOTHING = 3
"""


@pytest.fixture
def glance(distribution):
    """Install a distribution that registers what the console shows."""
    names = {name: f"glance:{name.upper()}" for name in ("loss", "score", "marks")}
    distribution("glance", {"metric": names}, {"glance.py": GLANCE})


def _screen(drawn):
    """Return what is left on a terminal's screen: lines that were drawn over, or removed, are not."""
    lines, row = [""], 0
    for part in re.split(r"(\n|\r|\x1b\[[0-9;?]*[A-Za-z])", drawn):
        if part == "\n":
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith(("\r", "\x1b")):
            lines[row] += part
    return lines


def _console(*, is_terminal):
    output = io.StringIO()
    return output, Console(file=output, force_terminal=is_terminal, width=120)


@pytest.fixture
def console_sink():
    """Return what makes a console sink and what it prints into; each is closed in the end."""
    made = []

    def make(*, is_terminal=False, **options):
        output, console = _console(is_terminal=is_terminal)
        sink = ConsoleSink(console=console, **options)
        made.append(sink)
        return sink, output

    yield make
    for sink in made:
        sink.close(END)


@pytest.mark.usefixtures("glance")
def test_console_without_a_terminal_prints_the_first_row_the_last_and_evaluations(console_sink):
    sink, output = console_sink(print_every_seconds=1000)
    for step in range(26):
        stats = {"toy/loss": 0.5, "toy/marks": 100.0}
        sink.commit(_row(step, last=25), stats | ({"eval/new": 0.25} if step == 7 else {}))
    lines = output.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["0/25", "7/25", "25/25"]
    assert "new" not in lines[1]
    assert "loss 0.5" in lines[1]
    assert "marks/s" in lines[1]


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.0, range(30, 31)), (0.2, range(3, 15)), (1e9, range(2, 3))]
)
def test_console_without_a_terminal_prints_by_time_and_not_by_steps(console_sink, seconds, count):
    sink, output = console_sink(print_every_seconds=seconds)
    for step in range(30):
        sink.commit(_row(step, last=29), {})
        time.sleep(0.02)
    assert len(output.getvalue().splitlines()) in count


@pytest.mark.usefixtures("glance")
def test_console_shows_what_is_registered_and_not_what_it_replaces(console_sink):
    sink, output = console_sink(print_every_seconds=0)
    sink.commit(_row(1, "a"), {"toy/loss": 0.5})
    sink.commit(_row(1, "b"), {"toy/score": 0.75, "toy/loss": 0.5, "toy/other": 1.0})
    first, second = output.getvalue().splitlines()
    assert "loss 0.5" in first
    assert "score 0.75" in second
    assert "loss" not in second
    assert "other" not in second


def test_console_when_a_registration_is_no_metric_names_its_distribution(distribution):
    distribution("glance", {"metric": {"nothing": "glance:NOTHING"}}, {"glance.py": GLANCE})
    with pytest.raises(ComponentError, match=r"metric 'nothing' of glance 1\.0 .* is no Metric"):
        ConsoleSink(print_every_seconds=10)


@pytest.mark.usefixtures("glance")
def test_console_when_two_register_one_metric_names_both(distribution):
    distribution("rival", {"metric": {"mine": "glance:LOSS"}}, {})
    with pytest.raises(ComponentError, match=r"'toy/loss' is registered by rival 1.0 .* and by glance 1.0"):
        ConsoleSink(print_every_seconds=10)


def test_console_on_a_terminal_draws_a_bar_per_stage_and_leaves_rows_alone(console_sink):
    sink, output = console_sink(print_every_seconds=1000, is_terminal=True)
    for stage in ("sft", "rl"):
        for step in range(3):
            sink.commit(_row(step, stage, last=2), {"train/loss": 0.5})
    sink.close(END)
    drawn = output.getvalue()
    assert "━" in drawn
    assert re.search(r"sft 1/2 .*━", drawn)
    screen = [line for line in _screen(drawn) if line]
    assert [line.split()[:2] for line in screen] == [
        ["sft", "0/2"],
        ["sft", "2/2"],
        ["rl", "0/2"],
        ["rl", "2/2"],
    ]


def test_console_on_a_terminal_shows_what_a_stage_is_busy_with_before_its_first_row(console_sink):
    sink, output = console_sink(print_every_seconds=1000, is_terminal=True)
    with busy("sft"), busy("tokenize", 2000) as advance:
        advance(500)
        sink.look()
    assert "tokenize 500/2,000, 0 s" in output.getvalue()


@pytest.mark.parametrize("last", [1000, 20])
def test_a_bar_of_steps_begins_anew_after_one_of_records(console_sink, last):
    """Rich keeps the total of a bar until another one is given, and one that was full stays finished."""
    sink, output = console_sink(print_every_seconds=1000, is_terminal=True)
    with busy("sft"):
        with busy("tokenize", 1000) as advance:
            advance(1000)
            sink.look()
        with busy("compile"):
            sink.look()
        begun = len(output.getvalue())
        for step in range(5):
            sink.commit(_row(step, last=last), {})
            time.sleep(0.02)
    drawn = output.getvalue()
    assert "100%" not in drawn[begun:]
    assert "0:00:00" not in drawn[begun:]


def test_what_is_said_on_standard_error_stays_there_while_a_bar_is_drawn(console_sink, capsys):
    sink, output = console_sink(print_every_seconds=1000, is_terminal=True)
    with busy("sft"):
        sink.look()
        sys.stderr.write("sft: a word\n")
    assert "a word" in capsys.readouterr().err
    assert "a word" not in output.getvalue()


def test_console_breaks_a_silence_by_what_goes_on(console_sink, monkeypatch):
    sink, output = console_sink(print_every_seconds=1000)
    with busy("rl"):
        sink.look()
        assert output.getvalue() == "", "nobody was silent for long"
        monkeypatch.setattr(sinks.console, "LONGEST_SILENCE", 0.0)
        sink.look()
        sink.commit(_row(3, "rl"), {})
        with busy("rollout"), busy("generate", 256) as advance:
            advance(120)
            sink.look()
        sink.look()
    sink.look()
    lines = output.getvalue().splitlines()
    assert lines == ["rl, 0 s", "rl 3/20", "rl 3/20  generate 120/256, 0 s", "rl 3/20, 0 s"]


def test_console_looks_by_itself_and_not_after_its_end(console_sink, monkeypatch):
    monkeypatch.setattr(sinks.console, "LONGEST_SILENCE", 0.0)
    monkeypatch.setattr(sinks.heartbeat, "SECONDS", 0.01)
    sink, output = console_sink(print_every_seconds=1000)
    with busy("sft"):
        deadline = time.monotonic() + 30
        while not output.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        sink.close(END)
        said = output.getvalue()
        time.sleep(0.1)
    assert said
    assert output.getvalue() == said


def test_a_compile_is_something_to_be_busy_with():
    CompileCounter()
    seen = []

    jax.monitoring.register_event_duration_secs_listener(
        seen_when := lambda *_, **__: seen.append(activities())
    )
    jax.monitoring.register_scalar_listener(begun := lambda *_, **__: seen.append(activities()))
    try:
        jax.jit(lambda x: x * 2.25 + 1)(1.0)
    finally:
        jax.monitoring.unregister_event_duration_listener(seen_when)
        jax.monitoring.unregister_scalar_listener(begun)
    assert any("compile" in map(str, stack) for stack in seen)
    assert "compile" not in map(str, activities()), "a compile that is over is not shown"


def _samples(step, count):
    rows = [{"prompt": f"{i}+\x1b[2J{i}=", "reward": i / 3, "unseen": i} for i in range(count)]
    return Samples(stage="sft", step=step, name="eval", rows=rows, shown=("prompt", "reward"))


def test_console_shows_a_few_samples_under_their_row(console_sink):
    sink, output = console_sink(print_every_seconds=1000, print_samples=2)
    sink.show(_samples(3, 1))
    sink.show(_samples(4, 5))
    sink.commit(_row(4), {"eval/new": 0.5})
    sink.commit(_row(5), {"eval/new": 0.5})
    lines = [line.split()[:2] for line in output.getvalue().splitlines()]
    assert lines == [
        ["sft", "4/20"],
        ["prompt", "reward"],
        ["0+·[2J0=", "0"],
        ["1+·[2J1=", "0.3333"],
        ["sft", "5/20"],
    ]


def test_console_without_samples_shows_none(console_sink):
    sink, output = console_sink(print_every_seconds=1000)
    sink.show(_samples(4, 5))
    sink.commit(_row(4), {"eval/new": 0.5})
    assert output.getvalue().splitlines() == ["sft 4/20"]


def test_jsonl_rows_are_json(tmp_path):
    rows = [json.loads(line) for line in _written(tmp_path, range(3)).read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [("sft", 0), ("sft", 1), ("sft", 2)]
