import jax
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.sequence import TEMPERATURE, make_sample

pytestmark = pytest.mark.fast


def samples(columns=()):
    made = make_sample([1, 2], [3, 4, 5], {name: np.ones(3, np.float32) for name in columns}, is_sampled=True)
    return [made, made]


@pytest.mark.parametrize(
    ("rows", "columns", "options"),
    [
        (samples(), [], {}),
        (samples(["gain", TEMPERATURE]), ["gain"], {}),
        ([samples()], [], {"max_sequences": 2}),
        ([samples(["gain"])], ["gain"], {"max_sequences": 3, "shares_prefixes": True}),
    ],
)
def test_likeness_is_that_of_a_batch(rows, columns, options):
    batch = make_batch(rows, num_rows=3, length=16, pad_token_id=0, columns=columns, **options)
    like = TokenBatch.like(num_rows=3, length=16, columns=list(batch.columns), **options)
    assert jax.tree.structure(like) == jax.tree.structure(batch)
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(like)] == [
        (leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(batch)
    ]
