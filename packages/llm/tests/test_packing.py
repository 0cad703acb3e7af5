"""Rows that hold several samples say what rows of one sample say; a wrong number or view is noticed."""

import functools
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy, evaluate
from burnish.llm.packing import best_fit, lay_out
from burnish.llm.policy import policy_of
from burnish.llm.sequence import TEMPERATURE, make_sample
from burnish.platform.errors import DataError

AGGREGATIONS = ("token_mean", "sequence_mean", "constant")
LENGTH = 64
GROUPS = (2, 3, 5, 4)
"""Samples of each prompt, and of each packed row."""


@dataclass(frozen=True)
class SequenceLikelihood:
    """One value per sequence: the square of its mean log-probability, which no token has alone."""

    def __call__(self, policy, _):
        return policy.per_sequence(policy.logprobs(), "mean") ** 2, {}


@dataclass(frozen=True)
class Everything:
    """Every prediction there is, so that an output nobody else reads is held to the same rule."""

    def __call__(self, policy, batch):
        values = policy.entropy() + 0.1 * policy.log_normalizer() - policy.logprobs()
        return values * batch.columns["advantages"] + policy.is_argmax(), {}


OBJECTIVES = {
    "cross_entropy": cross_entropy,
    "sequence": SequenceLikelihood(),
    "everything": Everything(),
}


def grouped(seed=0, temperature=0.7):
    """Samples of four prompts, 2 to 5 of each, with loss weights that are no flags."""
    rng = np.random.default_rng(seed)
    groups = []
    for number, size in enumerate(GROUPS):
        prompt = rng.integers(0, 60, 2 + number)
        groups.append([sampled(rng, prompt, number, temperature) for _ in range(size)])
    return groups


def sampled(rng, prompt, number, temperature):
    length = int(rng.integers(1, 7))
    columns = {
        "advantages": rng.normal(size=length),
        "loss_weights": rng.choice([0.5, 1.0, 2.0], length),
        TEMPERATURE: np.full(length, temperature),
    }
    return make_sample(prompt, rng.integers(0, 60, length), columns, is_sampled=True, group_id=number)


def batch_of(rows, aggregation="token_mean", **options):
    return make_batch(
        rows,
        num_rows=len(rows) + 1,
        length=LENGTH,
        pad_token_id=60,
        aggregation=aggregation,
        columns=["advantages"],
        max_length=9,
        **options,
    )


@functools.cache
def differentiated(model, objective):
    def loss(params, batch):
        return evaluate(objective, policy_of(model, params, batch, chunk=32), batch)[0]

    return jax.jit(jax.value_and_grad(loss))


@pytest.fixture
def measure(hf_config, scaled_params):
    """Return a function (batch, objective) -> loss and gradient leaves in numpy."""
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    params = jax.tree.map(jnp.asarray, scaled_params(model, scale=0.2))

    def loss_and_gradients(batch, objective):
        loss, gradients = differentiated(model, objective)(params, batch)
        return float(loss), jax.tree.map(np.array, gradients)

    return loss_and_gradients


def distance(actual, expected):
    """Return the worst of loss and gradient leaves, relative to what is expected."""
    pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    return max(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) for ours, theirs in pairs)


def one_a_row(groups):
    return [sample for group in groups for sample in group]


@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("shares_prefixes", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_when_rows_hold_several_samples_then_stays(measure, name, shares_prefixes, padding_side):
    groups, objective = grouped(), OBJECTIVES[name]
    for aggregation in AGGREGATIONS:
        apart = measure(batch_of(one_a_row(groups), aggregation), objective)
        packed = batch_of(groups, aggregation, shares_prefixes=shares_prefixes, padding_side=padding_side)
        assert distance(measure(packed, objective), apart) <= 1e-5


@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_when_rows_mix_prompts_then_each_tree_is_its_own(measure, name):
    groups = grouped()
    mixed = [[*groups[0], *groups[2]], [*groups[1], *groups[3]]]
    apart = measure(batch_of(one_a_row(mixed)), OBJECTIVES[name])
    for shares_prefixes in (False, True):
        packed = batch_of(mixed, shares_prefixes=shares_prefixes)
        assert distance(measure(packed, OBJECTIVES[name]), apart) <= 1e-5


def test_twin_wrong_sequences_are_noticed(measure):
    objective = OBJECTIVES["sequence"]
    packed = batch_of(grouped())
    wrong = replace(packed, sequences=np.minimum(packed.sequences, 1))
    assert distance(measure(wrong, objective), measure(packed, objective)) > 1e-2


@pytest.mark.parametrize("name", OBJECTIVES)
def test_twin_a_wrong_view_is_noticed(measure, name):
    packed = batch_of(grouped(), shares_prefixes=True)
    everyone = np.full_like(packed.visible_until, LENGTH)
    wrong = replace(packed, visible_until=everyone)
    assert distance(measure(wrong, OBJECTIVES[name]), measure(packed, OBJECTIVES[name])) > 1e-2


def test_twin_wrong_predecessors_are_noticed(measure):
    packed = batch_of(grouped(), shares_prefixes=True)
    before = np.arange(LENGTH)[None] - 1
    wrong = replace(packed, predecessors=np.where(packed.predecessors >= 0, before, -1))
    assert distance(measure(wrong, cross_entropy), measure(packed, cross_entropy)) > 1e-2


def test_twin_another_temperature_is_noticed(measure):
    rows = one_a_row(grouped()), one_a_row(grouped(temperature=1.0))
    ours, theirs = (measure(batch_of(each), cross_entropy) for each in rows)
    assert distance(ours, theirs) > 1e-2


def test_lay_out_when_a_prefix_is_shared_then_equals_the_hand_made():
    first = make_sample([7, 8], [1, 2])
    second = make_sample([7, 8], [3])
    row = lay_out([first, second, make_sample([9], [4])], shares_prefixes=True)
    np.testing.assert_array_equal(row.tokens, [7, 8, 1, 2, 3, 9, 4])
    np.testing.assert_array_equal(row.positions, [0, 1, 2, 3, 2, 0, 1])
    np.testing.assert_array_equal(row.segment_ids, [1, 1, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(row.sequences, [0, 0, 1, 1, 2, 3, 3])
    np.testing.assert_array_equal(row.predecessors, [-1, 0, 1, 2, 1, -1, 5])
    np.testing.assert_array_equal(row.visible_until, [5, 5, 4, 4, 5, 7, 7])
    assert [places.tolist() for places in row.places] == [[0, 1, 2, 3], [0, 1, 4], [5, 6]]


def test_lay_out_when_samples_have_no_prefix_then_they_cannot_share_one():
    with pytest.raises(DataError, match="share no prefix"):
        lay_out([make_sample([], [1, 2])], shares_prefixes=True)


def test_make_batch_when_a_row_holds_more_than_the_bound_then_says_so():
    with pytest.raises(DataError, match="a row of 5 samples is beyond max_sequences=4"):
        batch_of(grouped(), max_sequences=4)
    assert batch_of(grouped(), max_sequences=7).max_sequences == 7


def test_weights_when_a_trajectory_lies_in_pieces_then_it_counts_once():
    whole = make_sample([1, 2], [3, 4, 5, 6], trajectory=0)
    pieces = [make_sample([1, 2], [3, 4], trajectory=0), make_sample([1, 2, 3, 4], [5, 6], trajectory=0)]
    other = make_sample([1], [2, 3])
    for aggregation in AGGREGATIONS:
        shape = {"num_rows": 3, "length": 8, "pad_token_id": 0, "aggregation": aggregation}
        expected = make_batch([whole, other], **shape).weights[:2].sum(axis=1)
        found = make_batch([*pieces, other], **shape).weights.sum(axis=1)
        np.testing.assert_allclose([found[0] + found[1], found[2]], expected, rtol=1e-6)
    alone = [replace(piece, trajectory=None) for piece in pieces]
    apart = make_batch([*alone, other], num_rows=3, length=8, pad_token_id=0, aggregation="sequence_mean")
    assert not np.allclose(apart.weights[2].sum(), 0.5)


def test_weights_when_losses_weigh_a_half_then_nothing_changes():
    """A factor that all tokens share is no learning rate."""
    halves = make_sample([1], [2, 3, 4], {"loss_weights": [0.5, 0.5, 0.5]})
    ones = make_sample([1], [2, 3, 4])
    for aggregation in ("token_mean", "sequence_mean"):
        shape = {"num_rows": 1, "length": 4, "pad_token_id": 0, "aggregation": aggregation}
        np.testing.assert_allclose(make_batch([halves], **shape).weights, make_batch([ones], **shape).weights)


def test_make_batch_when_a_column_has_more_dims_then_they_are_kept():
    sample = make_sample([1], [2, 3], {"probabilities": [[0.1, 0.9], [0.4, 0.6]]})
    batch = make_batch([sample], num_rows=2, length=4, pad_token_id=0, columns=["probabilities"])
    assert batch.columns["probabilities"].shape == (2, 4, 2)
    np.testing.assert_allclose(batch.columns["probabilities"][0, 2], [0.4, 0.6])


def test_best_fit_by_hand_and_whatever_the_order():
    lengths = [3, 7, 5, 4, 1, 6, 4]
    assert best_fit(lengths, 10) == [[0, 1], [2, 4, 6], [3, 5]]
    assert best_fit([], 10) == []
    order = np.random.default_rng(0).permutation(len(lengths))
    shuffled = best_fit([lengths[i] for i in order], 10)
    assert sorted(sum(lengths[order[i]] for i in row) for row in shuffled) == [10, 10, 10]


def test_best_fit_has_every_sample_once_in_few_rows_that_hold_it():
    for seed in range(20):
        lengths = np.random.default_rng(seed).integers(32, 257, 64).tolist()
        rows = best_fit(lengths, 512)
        assert sorted(index for row in rows for index in row) == list(range(64))
        assert max(sum(lengths[index] for index in row) for row in rows) <= 512
        assert len(rows) <= 11 / 9 * -(-sum(lengths) // 512) + 6 / 9


def test_best_fit_of_a_sample_beyond_the_row_is_refused():
    with pytest.raises(DataError, match="a sample of 11 tokens does not fit a row of 10"):
        best_fit([3, 11], 10)
