"""One loss, whatever cuts the batch: micro-batches, devices, padding; and what a broken cut would do."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.aggregation import BatchTotals
from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.micro_batches import place
from burnish.llm.objective import cross_entropy
from burnish.llm.placement import place_params
from burnish.llm.sequence import make_sample
from burnish.llm.sharding import parameter_shardings
from burnish.llm.train_state import StateLayout
from burnish.llm.train_step import ComputeCopies, GradientProgram, accumulate
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.config import JaxConfig

AGGREGATIONS = ("token_mean", "sequence_mean", "constant")
NUM_ROWS, LENGTH = 8, 10
NUM_STEPS = 20
NUM_ALONE = 3
"""Samples scored one by one; each is a shape of its own and compiles anew."""


def ragged_samples(seed):
    """Eight samples of 3 to 10 tokens, 1 to 7 of them trained."""
    rng = np.random.default_rng(seed)
    sizes = zip(rng.integers(2, 4, NUM_ROWS), rng.permutation(np.arange(NUM_ROWS) % 7 + 1), strict=True)
    return [make_sample(rng.integers(0, 60, p), rng.integers(0, 60, c)) for p, c in sizes]


def batch_of(seed=0, aggregation="token_mean", padding_side="right", num_samples=NUM_ROWS, **shape):
    return make_batch(
        ragged_samples(seed)[:num_samples],
        **{"num_rows": NUM_ROWS, "length": LENGTH, **shape},
        pad_token_id=60,
        aggregation=aggregation,
        max_length=LENGTH,
        padding_side=padding_side,
    )


@functools.cache
def jitted(program):
    def from_nothing(weights, batch):
        return accumulate(program, weights, None, batch)[0]

    return jax.jit(from_nothing)


@pytest.fixture
def measure(hf_config, scaled_params, mesh):
    """Return a function (batch, micro-batch rows, mesh shape) -> loss and gradient leaves in numpy."""
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    params = scaled_params(model, scale=0.2)

    def loss_and_gradients(batch, micro_batch_rows=None, mesh_shape=(1, 1), objective=cross_entropy):
        layout = StateLayout(
            model=model,
            optimizer=AdamW(),
            total_steps=1,
            param_dtype="float32",
            compute_dtype="float32",
            mesh=mesh(*mesh_shape),
        )
        program = GradientProgram(
            layout=layout,
            objective=objective,
            micro_batch_rows=micro_batch_rows or batch.tokens.shape[0],
            logprob_chunk=16,
        )
        weights = jax.device_put(params, parameter_shardings(model, layout.mesh))
        pending = jitted(program)(ComputeCopies(weights, {}), place(batch, layout.mesh))
        return float(pending.loss), jax.tree.map(np.array, pending.gradients)

    return loss_and_gradients


def assert_equal(actual, expected):
    """Hold the loss to rtol 1e-5 and each gradient leaf to 1e-5 of its norm."""
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5)
    leaves = jax.tree_util.tree_leaves_with_path(expected[1])
    for ours, (path, theirs) in zip(jax.tree.leaves(actual[1]), leaves, strict=True):
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs), jax.tree_util.keystr(path)


def summed(parts, factor=1.0):
    losses, gradients = zip(*parts, strict=True)
    return factor * sum(losses), jax.tree.map(lambda *leaves: factor * sum(leaves), *gradients)


def losses_by_definition(model, params):
    """Score each sample alone and unpadded with all its logits, and aggregate as the names say."""
    per_sample = []
    for sample in ragged_samples(0)[:NUM_ALONE]:
        tokens = jnp.asarray(sample.tokens)[None]
        positions, segments = jnp.arange(len(sample))[None], jnp.ones((1, len(sample)), jnp.int32)
        hidden = model.forward(params, tokens, positions, segments).hidden
        logprobs = jax.nn.log_softmax(model.head(params).logits(hidden[0]))
        trained = np.arange(sample.prefix_length, len(sample))
        per_sample.append(-logprobs[trained - 1, sample.tokens[trained]])
    token_mean = jnp.mean(jnp.concatenate(per_sample))
    sequence_mean = jnp.mean(jnp.stack([jnp.mean(values) for values in per_sample]))
    constant = sum(jnp.sum(values) for values in per_sample) / (NUM_ALONE * LENGTH)
    losses = jnp.stack([token_mean, sequence_mean, constant])
    return losses, losses


def test_loss_when_computed_sample_by_sample_then_equals_the_batch(measure, hf_config, scaled_params):
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    differentiate = jax.jit(jax.jacrev(functools.partial(losses_by_definition, model), has_aux=True))
    gradients, losses = differentiate(scaled_params(model, scale=0.2))
    for index, aggregation in enumerate(AGGREGATIONS):
        expected = losses[index], jax.tree.map(lambda leaf, at=index: np.asarray(leaf[at]), gradients)
        assert_equal(measure(batch_of(aggregation=aggregation, num_samples=NUM_ALONE)), expected)
        for other in set(AGGREGATIONS) - {aggregation}:
            with pytest.raises(AssertionError):
                assert_equal(measure(batch_of(aggregation=other, num_samples=NUM_ALONE)), expected)


CUTS = [(rows, (1, 1)) for rows in (1, 2, 4)]
CUTS += [(8, shape) for shape in ((2, 1), (4, 1), (8, 1), (1, 2), (1, 4), (1, 8), (2, 4))]
CUTS += [(4, (2, 2)), (2, (1, 2))]


@pytest.mark.parametrize(("micro_batch_rows", "mesh_shape"), CUTS)
def test_gradients_when_the_batch_is_cut_then_stay(measure, micro_batch_rows, mesh_shape):
    for aggregation in AGGREGATIONS:
        for padding_side in ("right", "left"):
            batch = batch_of(aggregation=aggregation, padding_side=padding_side)
            whole = measure(batch_of(aggregation=aggregation))
            assert_equal(measure(batch, micro_batch_rows, mesh_shape), whole)


@pytest.mark.parametrize(("num_rows", "length"), [(12, LENGTH), (NUM_ROWS, 13)])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradients_when_padding_grows_then_stay(measure, aggregation, num_rows, length):
    padded = batch_of(aggregation=aggregation, num_rows=num_rows, length=length)
    assert_equal(measure(padded, micro_batch_rows=4), measure(batch_of(aggregation=aggregation)))


def halves(aggregation, totals=None):
    samples = ragged_samples(0)
    shape = {"num_rows": 4, "length": LENGTH, "pad_token_id": 60, "max_length": LENGTH}
    return [
        make_batch(part, aggregation=aggregation, totals=totals, **shape)
        for part in (samples[:4], samples[4:])
    ]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradients_when_weights_are_normalized_after_the_split_then_the_check_fails(measure, aggregation):
    whole = measure(batch_of(aggregation=aggregation))
    totals = BatchTotals.of(ragged_samples(0))
    assert_equal(summed([measure(half) for half in halves(aggregation, totals)]), whole)
    with pytest.raises(AssertionError):
        assert_equal(summed([measure(half) for half in halves(aggregation)]), whole)


def test_gradients_when_averaged_per_micro_batch_then_the_check_fails(measure):
    whole = measure(batch_of(aggregation="token_mean"))
    mean_of_means = summed([measure(half) for half in halves("token_mean")], factor=0.5)
    with pytest.raises(AssertionError):
        assert_equal(mean_of_means, whole)


def test_gradients_when_one_device_keeps_its_own_then_the_check_fails(measure):
    totals = BatchTotals.of(ragged_samples(0))
    whole = measure(batch_of(), mesh_shape=(2, 1))
    without_sum = measure(halves("token_mean", totals)[0])
    with pytest.raises(AssertionError):
        assert_equal(without_sum, whole)


def test_gradients_when_padding_has_weight_then_the_check_fails(measure):
    batch = batch_of()
    everywhere = np.where(batch.weights == 0, batch.weights.max(), batch.weights)
    with pytest.raises(AssertionError):
        assert_equal(measure(replace(batch, columns={"weights": everywhere})), measure(batch))


def test_gradients_when_padding_is_attended_to_then_the_check_fails(measure):
    batch = batch_of(padding_side="left")
    attending = replace(batch, segment_ids=np.ones_like(batch.segment_ids))
    with pytest.raises(AssertionError):
        assert_equal(measure(attending), measure(batch))


@functools.cache
def losses_of_twenty_steps(make_training, aggregation, padding_side, break_weights=None):
    training = make_training()
    losses = []
    for step in range(NUM_STEPS):
        batch = batch_of(step % 3, aggregation, padding_side)
        if break_weights is not None:
            batch = break_weights(batch)
        losses.append(training.step(batch, cross_entropy).statistics["train/loss"][0])
    return np.array(losses)


def renormalized_by_halves(batch: TokenBatch) -> TokenBatch:
    """Normalize the weights of each half of the rows by itself, as a split before the count would."""
    parts = [part / (2 * part.sum()) for part in np.split(batch.weights, 2)]
    return replace(batch, columns={"weights": np.concatenate(parts)})


@pytest.fixture
def trained(hf_config, scaled_params, mesh):
    """Return a maker of backends that differ in micro-batch rows and mesh alone."""
    model = Qwen2().build(FamilyContext(hf_config=hf_config))

    def make(micro_batch_rows="all", mesh_shape=(1, 1)):
        return JaxTraining(micro_batch_rows=micro_batch_rows, logprob_chunk=16).build(
            TrainingContext(
                model=model,
                load=lambda like: place_params(scaled_params(model, scale=0.2), like),
                optimizer=AdamW(learning_rate=3e-3, warmup_steps=3, weight_decay=0.01),
                total_steps=NUM_STEPS,
                mesh=mesh(*mesh_shape),
                jax=JaxConfig(),
            )
        )

    return make


@pytest.mark.parametrize(
    ("micro_batch_rows", "mesh_shape"),
    [(1, (1, 1)), (2, (1, 1)), (4, (1, 1)), (8, (8, 1)), (4, (2, 2)), (8, (1, 8))],
)
def test_losses_when_twenty_steps_are_cut_then_stay(trained, micro_batch_rows, mesh_shape):
    for aggregation in AGGREGATIONS:
        whole = losses_of_twenty_steps(trained, aggregation, "right")
        cut = functools.partial(trained, micro_batch_rows, mesh_shape)
        np.testing.assert_allclose(losses_of_twenty_steps(cut, aggregation, "left"), whole, rtol=1e-5)
        assert whole[-3:].mean() < whole[:3].mean()


def test_losses_when_weights_are_normalized_after_the_split_then_the_check_fails(trained):
    whole = losses_of_twenty_steps(trained, "token_mean", "right")
    broken = losses_of_twenty_steps(trained, "token_mean", "right", renormalized_by_halves)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(broken, whole, rtol=1e-5)
