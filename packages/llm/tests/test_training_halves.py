"""The two halves of a step, what else a backend computes, and what may change without a compilation."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.aggregation import BatchTotals
from burnish.llm.batch import make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy
from burnish.llm.scoring import OUTPUTS, Scorer
from burnish.llm.sequence import make_sample
from burnish.llm.tokenizer import load_tokenizer
from burnish.llm.training import TrainingContext
from burnish.llm.weights import load_huggingface
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.compiles import CompileCounter
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.kinds import Maximum
from burnish.platform.statistics.tracker import StatsTracker

LENGTH = 12


def samples_of(seed, count=8):
    rng = np.random.default_rng(seed)
    return [
        make_sample(rng.integers(0, 50, 3), rng.integers(0, 50, rng.integers(1, 8))) for _ in range(count)
    ]


def batch_of(seed=0, rows=None, **options):
    rows = samples_of(seed) if rows is None else rows
    return make_batch(rows, **{"num_rows": len(rows), "length": LENGTH, "pad_token_id": 60} | options)


@pytest.fixture
def model(hf_config):
    return Qwen2().build(FamilyContext(hf_config=hf_config))


@pytest.fixture
def backend(model, scaled_params, mesh):
    """Return a maker of backends on a tiny Qwen2."""

    def make(mesh_shape=(1, 1), tokenizer=None, dtypes=("float32", "float32"), **options):
        return JaxTraining(logprob_chunk=32, **options).build(
            TrainingContext(
                model=model,
                load_params=lambda: scaled_params(model, scale=0.2),
                optimizer=AdamW(learning_rate=1e-2, schedule="linear", warmup_steps=2, weight_decay=0.1),
                total_steps=20,
                mesh=mesh(*mesh_shape),
                jax=JaxConfig(param_dtype=dtypes[0], compute_dtype=dtypes[1]),
                tokenizer=tokenizer,
            )
        )

    return make


def on_host(tree):
    return [np.array(leaf) for leaf in jax.tree.leaves(tree)]


def assert_bit_equal(ours, theirs):
    for one, other in zip(on_host(ours), on_host(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("micro_batch_rows", "mesh_shape", "dtypes"),
    [
        ("all", (1, 1), ("float32", "float32")),
        (2, (1, 1), ("float32", "float32")),
        (4, (2, 2), ("float32", "float32")),
        (2, (1, 1), ("float32", "bfloat16")),
    ],
)
def test_step_when_taken_in_two_halves_then_equals_bit_for_bit(backend, micro_batch_rows, mesh_shape, dtypes):
    made = {"mesh_shape": mesh_shape, "dtypes": dtypes, "micro_batch_rows": micro_batch_rows}
    whole, halves = backend(**made), backend(**made)
    for seed in range(3):
        expected = whole.step(batch_of(seed), cross_entropy).statistics
        first = halves.forward_backward(batch_of(seed), cross_entropy).statistics
        found = {**first, **halves.optim_step()}
        assert found.keys() == expected.keys()
        assert_bit_equal(found, expected)
    assert_bit_equal(halves.save_state().trees, whole.save_state().trees)
    assert whole.weight_version == halves.weight_version == 3


def test_twin_a_half_that_forgets_a_batch_is_noticed(backend):
    whole, halves = backend(), backend()
    whole.step(batch_of(0), cross_entropy)
    halves.forward_backward(batch_of(1), cross_entropy)
    halves.optim_step()
    with pytest.raises(AssertionError):
        assert_bit_equal(halves.weights().tree, whole.weights().tree)


def test_forward_backward_when_called_for_parts_then_their_gradients_add_up(backend):
    samples = samples_of(0)
    totals = BatchTotals.of(samples)
    whole, parts = backend(), backend()
    expected = whole.step(batch_of(rows=samples), cross_entropy).statistics
    for half in (samples[:4], samples[4:]):
        parts.forward_backward(batch_of(rows=half, totals=totals), cross_entropy)
    found = parts.optim_step()
    for name in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose(found[name][0], expected[name][0], rtol=1e-5)


def test_optim_step_when_there_is_no_gradient_then_raises(backend):
    with pytest.raises(RuntimeError, match="no gradient to apply"):
        backend().optim_step()


@pytest.mark.parametrize(("micro_batch_rows", "mesh_shape"), [("all", (1, 1)), (2, (1, 1)), (4, (2, 2))])
def test_score_when_compared_with_what_a_step_computed_then_equals(backend, micro_batch_rows, mesh_shape):
    training = backend(mesh_shape=mesh_shape, micro_batch_rows=micro_batch_rows)
    scored = training.score(batch_of(), OUTPUTS)
    columns = training.step(batch_of(), cross_entropy, outputs=OUTPUTS).columns
    assert columns.keys() == scored.keys() == set(OUTPUTS)
    for name in OUTPUTS:
        np.testing.assert_allclose(columns[name], scored[name], rtol=1e-6, atol=1e-6)
    assert not np.allclose(training.score(batch_of(), ["logprobs"])["logprobs"], scored["logprobs"])


def test_score_when_weights_are_frozen_then_needs_no_backend(backend, model, scaled_params, mesh):
    training = backend(micro_batch_rows=2)
    frozen = jax.tree.map(jnp.asarray, scaled_params(model, scale=0.2))
    expected = training.score(batch_of(), ["logprobs"])["logprobs"]
    training.step(batch_of(), cross_entropy)
    found = Scorer(model=model, mesh=mesh(), logprob_chunk=32)(frozen, batch_of(), ["logprobs"])["logprobs"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    rows = batch_of(rows=list(reversed(samples_of(0))))
    np.testing.assert_allclose(
        Scorer(model=model, mesh=mesh())(frozen, rows, ["logprobs"])["logprobs"][::-1],
        expected,
        rtol=1e-5,
        atol=1e-5,
    )


def test_score_when_an_output_is_unknown_then_names_those_there(backend):
    with pytest.raises(ValueError, match=r"\['perplexity'\] are none of logprobs, entropy"):
        backend().score(batch_of(), ["perplexity"])


@dataclass(frozen=True)
class Penalised:
    """Cross-entropy with a KL-like penalty and a clip, whose coefficients are scalars of the batch."""

    @property
    def scalars(self):
        return {"coefficient": 0.0, "clip": 100.0}

    def __call__(self, policy, batch):
        logprobs = policy.logprobs()
        values = -jnp.clip(logprobs, -batch.scalars["clip"], None)
        return values + batch.scalars["coefficient"] * logprobs**2, {"worst": Maximum(jnp.max(values))}


@dataclass(frozen=True)
class Scaled:
    """Cross-entropy with a coefficient of its own: another one is another program."""

    coefficient: float

    def __call__(self, policy, _):
        return -policy.logprobs() * self.coefficient, {}


def test_step_when_coefficients_and_rates_move_then_compiles_nothing(backend):
    training = backend()
    training.step(batch_of(), Penalised())
    counter = CompileCounter()
    losses = []
    for step in range(1, 5):
        batch = replace(batch_of(), scalars={"coefficient": 0.1 * step, "clip": 5.0 / step})
        hyper = {"learning_rate": 1e-4 * step, "max_grad_norm": 1.0 + step, "b1": 0.9 - 0.01 * step}
        statistics = training.step(batch, Penalised(), hyper=hyper).statistics
        np.testing.assert_allclose(statistics["train/learning_rate"][0], 1e-4 * step, rtol=1e-6)
        losses.append(float(statistics["train/loss"][0]))
    assert counter.read().programs == 0
    assert len(set(losses)) == 4
    training.step(batch_of(), Scaled(0.5))
    counter.read()
    training.step(batch_of(), Scaled(0.6))
    assert counter.read().programs > 0


def test_hyper_when_it_moves_then_the_update_is_the_one_of_that_rate(backend):
    given, scheduled = backend(), backend()
    given.step(batch_of(), cross_entropy, hyper={"learning_rate": 1e-2 / 3})
    scheduled.step(batch_of(), cross_entropy)
    assert_bit_equal(given.weights().tree, scheduled.weights().tree)
    still = backend()
    before = on_host(still.weights().tree)
    still.step(batch_of(), cross_entropy, hyper={"learning_rate": 0.0})
    assert_bit_equal(still.weights().tree, before)


def test_hyper_when_a_name_is_unknown_then_names_those_there(backend):
    with pytest.raises(
        ConfigError, match="hyper: lr cannot be moved here; legal are b1, b2, learning_rate, max_grad_norm"
    ):
        backend().step(batch_of(), cross_entropy, hyper={"lr": 1.0})


@pytest.mark.parametrize("micro_batch_rows", ["all", 2])
def test_statistics_when_they_are_maxima_then_the_largest_of_all_micro_batches_is_kept(
    backend, micro_batch_rows
):
    training = backend(micro_batch_rows=micro_batch_rows)
    expected = -training.score(batch_of(), ["logprobs"])["logprobs"].min()
    statistics = training.step(batch_of(), Penalised()).statistics
    np.testing.assert_allclose(statistics["train/worst"].value, expected, rtol=1e-6)
    stats = StatsTracker()
    stats += statistics
    stats += {"train/worst": Maximum(1e3)}
    assert stats.summary()["train/worst"] == 1e3


@dataclass(frozen=True)
class Noisy:
    """Cross-entropy weighed by noise: by token, or, in the twin, by place."""

    by_place: bool = False

    def __call__(self, policy, batch):
        noise = jax.vmap(jax.vmap(jax.random.uniform))(policy.keys())
        if self.by_place:
            noise = jax.random.uniform(policy.keys()[0, 0], batch.tokens.shape)
        return -policy.logprobs() * noise, {}


@pytest.mark.parametrize("by_place", [False, True])
def test_noise_when_rows_are_cut_packed_or_padded_then_stays_with_its_token(backend, by_place):
    samples, words = samples_of(0), (1, 2, 3, 4, 5)

    def loss(rows, micro_batch_rows="all", words=words, **options):
        training = backend(micro_batch_rows=micro_batch_rows)
        batch = batch_of(rows=rows, length=3 * LENGTH, **options)
        return float(training.step(batch, Noisy(by_place), key_words=words).statistics["train/loss"][0])

    plain = loss(samples)
    others = [
        loss(samples, micro_batch_rows=2),
        loss([samples[:3], samples[3:6], samples[6:]]),
        loss(samples, padding_side="left"),
    ]
    same = np.isclose(others, plain, rtol=1e-5)
    assert not same.any() if by_place else same.all()
    assert not np.isclose(loss(samples, words=(1, 2, 4, 4, 5)), plain, rtol=1e-3)


FROZEN = ("embed", "layers/mlp", "layers/*/query*")


def test_frozen_when_trained_then_has_no_moments_and_keeps_its_bits(backend):
    training = backend(frozen=FROZEN)
    before = jax.tree.map(np.array, training.weights().tree)
    for seed in range(3):
        training.step(batch_of(seed), cross_entropy)
    after = training.weights().tree
    assert_bit_equal([after["embed"], after["layers"]["mlp"]], [before["embed"], before["layers"]["mlp"]])
    attention = after["layers"]["attention"], before["layers"]["attention"]
    assert_bit_equal(attention[0]["query"], attention[1]["query"])
    assert not np.array_equal(attention[0]["key"], attention[1]["key"])
    moments = [name for name in training.save_state().trees["optimizer"] if ".mu." in name or ".nu." in name]
    assert moments
    assert not [name for name in moments if "embed" in name or "mlp" in name.split(".") or "query" in name]
    everything = backend()
    everything.step(batch_of(), cross_entropy)
    assert any("embed" in name for name in everything.save_state().trees["optimizer"])


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32")])
def test_frozen_when_saved_and_resumed_then_continues_bit_for_bit(backend, dtypes):
    from burnish.platform.checkpoint.snapshot import Restored

    uninterrupted = backend(frozen=FROZEN, dtypes=dtypes)
    uninterrupted.step(batch_of(0), cross_entropy)
    snapshot = uninterrupted.save_state()
    trees = jax.tree.map(np.array, dict(snapshot.trees))

    def load_tree(name, like):
        fits = jax.tree.map(lambda leaf, other: leaf.dtype == other.dtype, trees[name], like)
        assert all(jax.tree.leaves(fits))
        return trees[name]

    resumed = backend(frozen=FROZEN, dtypes=dtypes)
    resumed.step(batch_of(5), cross_entropy)
    resumed.load_state(Restored(snapshot.json, load_tree, snapshot.files.__getitem__))
    for seed in (1, 2):
        expected = uninterrupted.step(batch_of(seed), cross_entropy).statistics
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy).statistics, expected)
    assert_bit_equal(resumed.weights().tree, uninterrupted.weights().tree)


def test_frozen_gradients_when_compared_with_a_full_step_then_the_trained_ones_are_equal(backend):
    """The norm over what is trained is smaller than that over everything, and the loss the same."""
    partly, fully = backend(frozen=("embed",)), backend()
    ours = partly.step(batch_of(), cross_entropy).statistics
    theirs = fully.step(batch_of(), cross_entropy).statistics
    np.testing.assert_allclose(ours["train/loss"][0], theirs["train/loss"][0], rtol=1e-6)
    assert ours["train/grad_norm"][0] < theirs["train/grad_norm"][0]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("layers/nothing",), "training.frozen: 'layers/nothing' matches no parameter; there are embed"),
        (("*",), "freezes every parameter"),
    ],
)
def test_frozen_when_the_patterns_make_no_sense_then_is_refused(backend, patterns, message):
    with pytest.raises(ConfigError, match=message):
        backend(frozen=patterns)


def test_weights_when_exported_twice_then_are_written_once_and_read_back(backend, model, tmp_path):
    training = backend(tokenizer=ByteTokenizer().build())
    training.step(batch_of(), cross_entropy)
    weights = training.weights()
    directory = weights.export(tmp_path)
    written = (directory / "model.safetensors").stat().st_mtime_ns
    assert weights.export(tmp_path) == directory == tmp_path / "version_1"
    assert (directory / "model.safetensors").stat().st_mtime_ns == written
    assert_bit_equal(load_huggingface(directory, model), jax.device_get(weights.tree))
    assert load_tokenizer(directory).vocab_size == 260
    training.step(batch_of(1), cross_entropy)
    assert training.weights().export(tmp_path) == tmp_path / "version_2"


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
def test_pairs_when_rows_are_cut_then_no_pair_is_torn(backend, micro_batch_rows, mesh_shape):
    batch = make_batch(
        pairs(),
        num_rows=8,
        length=LENGTH,
        pad_token_id=60,
        aggregation="sequence_mean",
        shares_prefixes=True,
    )
    measured = [
        backend(mesh_shape=shape, micro_batch_rows=rows).step(batch, PairLoss()).statistics
        for rows, shape in (("all", (1, 1)), (micro_batch_rows, mesh_shape))
    ]
    for name in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose(measured[1][name][0], measured[0][name][0], rtol=1e-5)
    assert measured[0]["train/loss"][0] > 0.1


def test_twin_a_loss_over_neighboring_rows_is_refused(backend):
    def per_row(policy, _):
        sums = jnp.sum(policy.logprobs(), axis=1)
        return sums[0::2] - sums[1::2], {}

    with pytest.raises(ConfigError, match="per_row returns values of shape"):
        backend().step(batch_of(), per_row)
