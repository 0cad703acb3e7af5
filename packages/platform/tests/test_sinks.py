import io
import json

import pytest
from rich.console import Console

from burnish.platform.errors import ComponentError, RunError
from burnish.platform.statistics.sink import RunEnd, SinkRow
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


def _console(*, is_terminal):
    output = io.StringIO()
    return output, Console(file=output, force_terminal=is_terminal, width=120)


@pytest.mark.usefixtures("glance")
def test_console_without_a_terminal_prints_every_n_steps_the_last_and_evaluations():
    output, console = _console(is_terminal=False)
    sink = ConsoleSink(10, console)
    for step in range(1, 26):
        stats = {"toy/loss": 0.5, "toy/marks": 100.0}
        sink.commit(_row(step, last=25), stats | ({"eval/new": 0.25} if step == 7 else {}))
    sink.close(END)
    lines = output.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["7/25", "10/25", "20/25", "25/25"]
    assert "new" not in lines[0]
    assert "loss 0.5" in lines[1]
    assert "marks/s" in lines[1]
    assert "to go" in lines[1]


@pytest.mark.usefixtures("glance")
def test_console_shows_what_is_registered_and_not_what_it_replaces():
    output, console = _console(is_terminal=False)
    sink = ConsoleSink(1, console)
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
        ConsoleSink(10)


@pytest.mark.usefixtures("glance")
def test_console_when_two_register_one_metric_names_both(distribution):
    distribution("rival", {"metric": {"mine": "glance:LOSS"}}, {})
    with pytest.raises(ComponentError, match=r"'toy/loss' is registered by rival 1.0 .* and by glance 1.0"):
        ConsoleSink(10)


def test_console_on_a_terminal_draws_a_bar_per_stage():
    output, console = _console(is_terminal=True)
    sink = ConsoleSink(10, console)
    for stage in ("sft", "rl"):
        for step in range(3):
            sink.commit(_row(step, stage, last=2), {"train/loss": 0.5})
    sink.close(END)
    assert "2/2" in output.getvalue()
    assert "rl" in output.getvalue()


def test_jsonl_rows_are_json(tmp_path):
    rows = [json.loads(line) for line in _written(tmp_path, range(3)).read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [("sft", 0), ("sft", 1), ("sft", 2)]
