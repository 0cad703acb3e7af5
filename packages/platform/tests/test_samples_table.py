"""The table of a few samples fits where it is shown."""

from rich.cells import cell_len

from burnish.platform.statistics.sink import Samples
from burnish.platform.statistics.sinks.samples_table import samples_table


def _table(rows, width, shown=("prompt", "answer", "reward")):
    return list(samples_table(Samples(stage="s", step=0, name="n", rows=rows, shown=shown), 9, width))


def test_a_table_fits_its_width_and_long_texts_keep_beginning_and_end():
    rows = [{"prompt": "x" * 500 + "end", "answer": "y" * 30, "reward": 1.0}, {"prompt": None, "answer": "7"}]
    head, first, second = _table(rows, 60)
    assert max(map(len, (head, first, second))) <= 60
    assert head.split() == ["prompt", "answer", "reward"]
    prompt, answer, reward = first.split()
    assert prompt.startswith("xxx")
    assert prompt.endswith("end")
    assert 20 <= len(prompt) <= 30
    assert 20 <= len(answer) <= 30
    assert reward == "1"
    assert second.split() == ["7"]


def test_a_table_gives_short_columns_what_they_need_and_wide_letters_two_cells():
    (_, first) = _table([{"prompt": "漢" * 100 + "end", "answer": "42", "reward": 0.0}], 40)
    assert first.split()[1:] == ["42", "0"]
    assert first.split()[0].endswith("end")
    assert cell_len(first) <= 40
