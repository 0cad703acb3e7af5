"""Options and row counts that cannot work are refused with those that can."""

import pytest

from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.micro_batches import check_rows
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("num_rows", "micro_batch_rows", "num_shards", "message"),
    [
        (6, 4, 1, "legal values: 1, 2, 3, 6, all"),
        (8, 2, 4, "legal values: 4, 8, all"),
        (8, 16, 1, "legal values: 1, 2, 4, 8, all"),
        (8, 0, 1, "legal values: 1, 2, 4, 8, all"),
        (6, "all", 4, "4 or 8 rows could"),
        (2, "all", 4, "devices; 4 rows could"),
    ],
)
def test_check_rows_when_not_divisible_then_says_what_would_be(
    num_rows, micro_batch_rows, num_shards, message
):
    with pytest.raises(ConfigError, match=message):
        check_rows(num_rows, micro_batch_rows, num_shards)


@pytest.mark.parametrize(
    ("component", "options", "message"),
    [
        (
            JaxTraining,
            {"micro_batch_rows": 0},
            "micro_batch_rows=0 is out of range; legal: 1 or more",
        ),
        (JaxTraining, {"max_grad_norm": 0.0}, r"^max_grad_norm="),
        (JaxTraining, {"logprob_chunk": 0}, r"^logprob_chunk="),
        (JaxTraining, {"logprob_chunk": "all"}, r"^logprob_chunk:.*auto"),
        (JaxTraining, {"dropout": 1.0}, r"^dropout="),
        (AdamW, {"learning_rate": 0.0}, r"^learning_rate="),
        (AdamW, {"decay_fraction": 1.5}, r"^decay_fraction="),
        (AdamW, {"b2": 1.0}, r"^b2="),
    ],
)
def test_options_when_out_of_range_then_are_named(component, options, message):
    with pytest.raises(ConfigError, match=message):
        component(**options)


def test_check_rows_when_divisible_then_returns_the_rows():
    assert [check_rows(8, rows, 2) for rows in ("all", 2, 4)] == [8, 2, 4]
