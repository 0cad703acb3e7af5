"""Gradients in bfloat16: as good over thousands of tokens at once as row by row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.families import broadcast
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.logprobs import linear_logprobs
from burnish.llm.testing import tiny_qwen2_config

ROWS, LENGTH = 32, 256
BOUND = 0.02
"""Largest error of a leaf's gradient against fp32, relative to its norm."""


@pytest.fixture(params=["tied", "untied"])
def model(request):
    config = tiny_qwen2_config(260, tie_word_embeddings=request.param == "tied")
    return Qwen2().build(FamilyContext(hf_config=config))


def gradient(model, params, dtype, micro_batch_rows):
    """Return the gradient of the mean cross-entropy, summed over micro-batches in fp32."""
    tokens = np.random.default_rng(0).integers(0, 260, (ROWS, LENGTH), dtype=np.int32)
    positions = np.tile(np.arange(LENGTH, dtype=np.int32), (micro_batch_rows, 1))

    @jax.jit
    @jax.grad
    def of_rows(params, rows):
        hidden, _ = model.forward(params, rows, positions, jnp.ones_like(rows))
        logprobs = linear_logprobs(hidden[:, :-1], model.head(params), rows[:, 1:]).logprob
        return -jnp.sum(logprobs) / (ROWS * (LENGTH - 1))

    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
    cuts = range(0, ROWS, micro_batch_rows)
    parts = [of_rows(params, tokens[cut : cut + micro_batch_rows]) for cut in cuts]
    return jax.tree.map(lambda *leaves: sum(np.asarray(leaf, np.float32) for leaf in leaves), *parts)


@pytest.fixture
def errors(model):
    """Return a function to the error of each leaf, by the rows of a micro-batch."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf.astype(jnp.bfloat16), np.float32), model.init(0))
    exact = gradient(model, params, jnp.float32, ROWS)

    def of_leaves(micro_batch_rows):
        found = gradient(model, params, jnp.bfloat16, micro_batch_rows)
        error = jax.tree.map(lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b), found, exact)
        leaves = jax.tree_util.tree_leaves_with_path(error)
        return {jax.tree_util.keystr(path, simple=True, separator="/"): float(leaf) for path, leaf in leaves}

    return of_leaves


@pytest.mark.parametrize("micro_batch_rows", [1, ROWS])
def test_each_leaf_has_the_gradient_of_fp32(errors, micro_batch_rows):
    found = errors(micro_batch_rows)
    assert max(found.values()) < BOUND, found


def test_twin_sums_in_bfloat16_lose_what_many_rows_add(errors, monkeypatch):
    monkeypatch.setattr(broadcast, "embed", lambda table, tokens: table[tokens])
    monkeypatch.setattr(broadcast, "shift", lambda values, bias: values + bias[None, None])
    monkeypatch.setattr(broadcast, "scale", lambda values, factors: values * factors[None, None])
    found = errors(ROWS)
    lost = {name for name, error in found.items() if error > BOUND}
    assert {"layers/attention/value_bias", "layers/attention_norm", "layers/mlp_norm"} <= lost, found
