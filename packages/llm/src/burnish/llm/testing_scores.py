"""One set of samples, laid out in several ways and scored: what a family has to give the same numbers for.

For tests alone; nothing imports it at run time.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.policy import policy_of
from burnish.llm.row_sharding import on_mesh
from burnish.llm.sequence import make_sample

VOCAB, LENGTH = 60, 17
WORDS = np.array([1, 2, 3, 4, 5], np.uint32)
"""The name of some step's noise."""

LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    "packed": {"per_row": 3},
    "branches, padded on the left": {
        "per_row": 3,
        "shares_prefixes": True,
        "padding_side": "left",
    },
}
"""Ways to lay the same samples out, beside one to a row."""


def tokens_of(rows: int) -> np.ndarray:
    """Return rows of `LENGTH` tokens."""
    return np.random.default_rng(7).integers(0, VOCAB, (rows, LENGTH))


def laid_out(*, per_row: int = 1, words: Any = None, **layout: Any) -> TokenBatch:
    """Return a batch of eight rows with twelve samples, three to each of four prompts."""
    generator, samples = np.random.default_rng(3), []
    for length in (4, 6, 3, 5):
        prompt = generator.integers(0, VOCAB, length)
        samples += [make_sample(prompt, generator.integers(0, VOCAB, 2 + 3 * number)) for number in range(3)]
    numbered = [replace(sample, sample_id=number) for number, sample in enumerate(samples)]
    rows = [numbered[start : start + per_row] for start in range(0, len(numbered), per_row)]
    batch = make_batch(rows, num_rows=16, length=40, pad_token_id=0, **layout)
    return replace(batch, noise_words=words)


def repeated(times: int, most: int = 64) -> TokenBatch:
    """Return four packed rows `most` times, of which `times` have weight: the gradients of once."""
    batch = laid_out(per_row=3)
    rows = jax.tree.map(lambda array: np.concatenate([array[:4]] * most), batch)
    factors = np.repeat(np.arange(most) < times, 4)[:, None] / np.float32(times)
    return replace(rows, columns={**rows.columns, "weights": rows.weights * factors})


def score(
    model: CausalLM, params: Any, batch: TokenBatch, dropout: float = 0.0, mesh: Mesh | None = None
) -> Any:
    """Return loss, summed logprobs of each sample, and the gradients, on the devices of a mesh."""
    return jax.tree.map(np.asarray, _scores(model, dropout, mesh)(params, batch))


def assert_same_scores(actual: Any, expected: Any) -> None:
    """Hold loss and logprobs to 1e-5, and each gradient leaf to 1e-5 of its norm."""
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-5)
    for path, leaf in by_path(expected[2]).items():
        ours = by_path(actual[2])[path]
        assert np.linalg.norm(ours - leaf) <= 1e-5 * np.linalg.norm(leaf), path


def by_path(tree: Any, is_leaf: Any = None) -> dict[tuple[str, ...], Any]:
    """Return the leaves of nested dicts by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return {tuple(entry.key for entry in path): leaf for path, leaf in leaves}


@cache
def _scores(model: CausalLM, dropout: float, mesh: Mesh | None) -> Any:
    def loss(params: Any, batch: TokenBatch) -> tuple[Any, Any]:
        logprobs = policy_of(model, params, batch, dropout=dropout).logprobs()
        of_samples = jnp.zeros(12).at[batch.sample_ids].add(jnp.where(batch.weights > 0, logprobs, 0))
        return -jnp.sum(logprobs * batch.weights), of_samples

    def scores(params: Any, batch: TokenBatch) -> tuple[Any, Any, Any]:
        with nullcontext() if mesh is None else on_mesh(mesh):
            (total, of_samples), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch)
        return total, of_samples, gradients

    return jax.jit(scores)
