"""Draw the curves of a run from its `metrics.jsonl`: `python docs/curves.py runs/first curves.svg`.

One panel each for the loss of SFT, the reward and the length of completions of RL, and the accuracy over the
whole chain. The same rows make the same file, byte for byte.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PANELS = (
    ("sft", "train/loss", "Loss of SFT", "nats per token"),
    ("rl", "reward/mean", "Reward of RL", "mean of a rollout"),
    ("rl", "rollout/completion_tokens", "Length of completions in RL", "mean tokens"),
)
GRAY = "#808080"
STYLE = {
    "axes.edgecolor": GRAY,
    "axes.labelcolor": GRAY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.size": 9,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "burnish",
    "text.color": GRAY,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
}
"""Gray on nothing is read on a light page and on a dark one."""

Row = Mapping[str, Any]


def series(rows: Sequence[Row], stage: str, metric: str) -> tuple[list[int], list[float]]:
    """Return the steps of a stage that recorded a metric, and its values."""
    found = [row for row in rows if row["stage"] == stage and metric in row]
    return [row["step"] for row in found], [row[metric] for row in found]


def along_the_chain(rows: Sequence[Row], metric: str) -> dict[str, tuple[list[int], list[float]]]:
    """Return a metric by stage; the steps of one count on from the last of the stage before."""
    stages = {stage: list(members) for stage, members in groupby(rows, key=itemgetter("stage"))}
    lasts = accumulate((members[-1]["step"] for members in stages.values()), initial=0)
    found = {stage: series(rows, stage, metric) for stage in stages}
    return {
        stage: ([before + step for step in found[stage][0]], found[stage][1])
        for stage, before in zip(stages, lasts, strict=False)
    }


def draw(rows: Sequence[Row], file: Path) -> None:
    """Write the curves of a run of SFT and RL to an SVG file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots(2, 2).flat
        for panel, (stage, metric, title, unit) in zip(axes, PANELS, strict=False):
            panel.plot(*series(rows, stage, metric), color="C0", linewidth=1)
            _label(panel, title, f"step of {stage}", unit)
        panel = axes[3]
        for stage, (steps, values) in along_the_chain(rows, "eval/accuracy").items():
            panel.plot(steps, values, marker="o", markersize=3, linewidth=1, label=stage)
        _label(panel, "Accuracy on held-out problems", "step of the chain", "share that is right")
        panel.legend(frameon=False)
        figure.savefig(file, format="svg", metadata={"Date": None})


def _label(panel: Axes, title: str, below: str, beside: str) -> None:
    panel.set_title(title, loc="left")
    panel.set_xlabel(below)
    panel.set_ylabel(beside)
    panel.set_ylim(bottom=0)


def main() -> None:
    """Draw the run given, to the file given."""
    run, file = Path(sys.argv[1]), Path(sys.argv[2])
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    draw([json.loads(line) for line in lines], file)
    print(f"drew {len(lines)} rows of {run} to {file}")


if __name__ == "__main__":
    main()
