import pytest

from burnish.platform.counted import counted


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (0, "step", "0 steps"),
        (1, "rollout", "1 rollout"),
        (1200, "row", "1,200 rows"),
        (1.0, "epoch", "1 epoch"),
        (1.5, "epoch", "1.5 epochs"),
        (1.0001, "epoch", "1 epoch"),
        (999.4, "epoch", "999 epochs"),
        (1399.6, "epoch", "1,400 epochs"),
    ],
)
def test_a_noun_takes_an_s_unless_there_is_one(number, noun, told):
    assert counted(number, noun) == told
