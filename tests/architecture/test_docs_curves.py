"""The curves of the tutorial are those of a run's rows, and the same rows make the same file."""

import pytest

pytestmark = pytest.mark.fast

ROWS = [
    {"stage": "sft", "step": 0, "eval/accuracy": 0.0},
    {"stage": "sft", "step": 1, "train/loss": 2.0},
    {"stage": "sft", "step": 2, "train/loss": 1.0, "eval/accuracy": 0.25},
    {"stage": "rl", "step": 0, "eval/accuracy": 0.25},
    {"stage": "rl", "step": 1, "reward/mean": 0.5, "rollout/completion_tokens": 3.0, "eval/accuracy": 1.0},
]


@pytest.fixture
def curves(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "docs"))
    return __import__("curves")


def test_steps_count_on_from_stage_to_stage(curves):
    assert curves.series(ROWS, "sft", "train/loss") == ([1, 2], [2.0, 1.0])
    assert curves.along_the_chain(ROWS, "eval/accuracy") == {
        "sft": ([0, 2], [0.0, 0.25]),
        "rl": ([2, 3], [0.25, 1.0]),
    }


def test_equal_rows_make_equal_files_and_others_do_not(curves, tmp_path):
    files = [tmp_path / name for name in ("a.svg", "b.svg", "c.svg")]
    for file, rows in zip(files, (ROWS, ROWS, ROWS[:-1]), strict=True):
        curves.draw(rows, file)
    first, second, other = (file.read_bytes() for file in files)

    assert first == second
    assert first != other


def test_picture_of_the_tutorial_is_of_this_script(curves, root):
    picture = (root / "docs" / "tutorial" / "default-run.svg").read_text(encoding="utf-8")
    assert all(f">{title}</text>" in picture for _, _, title, _ in curves.PANELS)
