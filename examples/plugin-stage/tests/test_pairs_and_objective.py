import jax.numpy as jnp
import numpy as np
import pytest
from burnish_dpo.objective import PreferenceObjective
from burnish_dpo.pairs import REFERENCE, PairLayout, encode

from burnish.llm import Policy
from burnish.platform import DataError
from burnish.platform.testing import InMemoryData

LAYOUT = PairLayout(num_rows=3, length=16, pad_token_id=0)
RECORDS = (
    {"prompt": "ab", "chosen": "cde", "rejected": "c"},
    {"prompt": "b", "chosen": "a", "rejected": "ead"},
)


def render(record):
    """Turn letters into ids from 1 on, and end with 6."""
    return [ord(c) - 96 for c in record["prompt"]], [ord(c) - 96 for c in record["completion"]] + [6]


def encoded(*records, max_length=16, positions=None):
    return encode(InMemoryData(records), render, max_length, positions)


def test_pair_is_one_row_with_its_prompt_once():
    batch = LAYOUT(encoded(*RECORDS).pairs)

    assert batch.tokens[0, :8].tolist() == [1, 2, 3, 4, 5, 6, 3, 6]
    assert batch.sequences[0, :8].tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(
        [batch.weights[batch.sequences == number].sum() for number in (1, 2)], [0.5, 0.5], rtol=1e-6
    )


def test_objective_equals_the_formula_in_numpy():
    pairs = encoded(*RECORDS)
    batch = LAYOUT(pairs.pairs)
    random = np.random.default_rng(0)
    hidden, head = random.normal(size=(3, 16, 4)), random.normal(size=(4, 7))
    reference = random.normal(size=(3, 16)).astype(np.float32)
    batch.columns[REFERENCE] = reference
    policy = Policy(jnp.asarray(hidden), jnp.asarray(head), batch, params={})

    losses, statistics = PreferenceObjective(beta=0.3)(policy, batch)

    logits = np.take_along_axis(hidden, np.maximum(batch.predecessors, 0)[..., None], axis=1) @ head
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    gains = np.take_along_axis(logprobs, batch.tokens[..., None], -1)[..., 0] - reference
    margins = [gains[row][s == 1].sum() - gains[row][s == 2].sum() for row, s in enumerate(batch.sequences)]
    np.testing.assert_allclose(losses[:2, 0], np.log1p(np.exp(-0.3 * np.array(margins[:2]))), rtol=1e-5)
    np.testing.assert_array_equal(losses[:, 0], losses[:, 1])
    assert float(statistics["dpo/margin"][1]) == 2
    np.testing.assert_allclose(statistics["dpo/margin"][0], sum(margins[:2]), rtol=1e-4)


def test_pair_that_is_too_long_is_left_out_and_counted():
    pairs = encoded(*RECORDS, {"prompt": "a" * 9, "chosen": "bcd", "rejected": "ecd"})

    assert (len(pairs), pairs.num_left_out, pairs.longest) == (2, 1, 8)
    with pytest.raises(DataError, match="none of 2 pairs has max_length=3 tokens"):
        encoded(*RECORDS, max_length=3)


@pytest.mark.parametrize(("positions", "left"), [(None, 2), (6, 2), (5, 1)])
def test_pair_beyond_the_models_positions_is_left_out_and_counted(positions, left):
    """Both completions begin where the prompt ends: the first pair, of 8 tokens, ends at position 6."""
    pairs = encoded(*RECORDS, positions=positions)

    assert (len(pairs), pairs.num_left_out) == (left, 2 - left)
    with pytest.raises(DataError, match="none of 2 pairs fits the model's 4 positions"):
        encoded(*RECORDS, positions=4)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"prompt": "a", "chosen": "b"}, "record 0 has no text 'rejected'; it has prompt, chosen"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "record 0 rejects what it chooses"),
    ],
)
def test_record_that_is_no_pair_is_named(record, said):
    with pytest.raises(DataError, match=said):
        encoded(record)
