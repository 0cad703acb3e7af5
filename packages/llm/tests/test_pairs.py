"""A preference pair is one row, prompt, chosen and rejected, so that nothing can tear it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.sequence import make_sample
from burnish.platform.errors import ConfigError


@dataclass(frozen=True)
class PairLoss:
    """A preference: -log sigmoid of how much likelier the chosen sequence is than the rejected one."""

    def __call__(self, policy, _):
        sums = policy.per_sequence(policy.logprobs(), "sum")
        loss = -jax.nn.log_sigmoid(0.1 * (sums[:, :1] - sums[:, 1:]))
        return jnp.broadcast_to(loss, sums.shape), {}


def pairs(count=8):
    rng = np.random.default_rng(2)
    made = []
    for number in range(count):
        prompt = rng.integers(0, 50, 2 + number % 3)
        made.append([make_sample(prompt, rng.integers(0, 50, rng.integers(1, 5))) for _ in range(2)])
    return made


@pytest.mark.parametrize(
    ("micro_batch_rows", "mesh_shape"), [(1, (1, 1)), (2, (1, 1)), ("all", (2, 1)), (4, (2, 2)), (2, (1, 2))]
)
def test_pairs_when_rows_are_cut_then_no_pair_is_torn(make_training, micro_batch_rows, mesh_shape):
    batch = make_batch(
        pairs(),
        num_rows=8,
        length=12,
        pad_token_id=60,
        aggregation="sequence_mean",
        shares_prefixes=True,
    )
    measured = [
        make_training(mesh_shape=shape, micro_batch_rows=rows).step(batch, PairLoss()).statistics
        for rows, shape in (("all", (1, 1)), (micro_batch_rows, mesh_shape))
    ]
    for name in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose(measured[1][name][0], measured[0][name][0], rtol=1e-5)
    assert measured[0]["train/loss"][0] > 0.1


def test_twin_a_loss_over_neighboring_rows_is_refused(make_training, batch_of):
    def per_row(policy, _):
        sums = jnp.sum(policy.logprobs(), axis=1)
        return sums[0::2] - sums[1::2], {}

    with pytest.raises(ConfigError, match="per_row returns values of shape"):
        make_training().step(batch_of(), per_row)
