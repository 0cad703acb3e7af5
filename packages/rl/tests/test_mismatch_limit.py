"""Engine and trainer in bfloat16: a deep model sampled as it is passes, and altered ones do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.bundle import ModelContext
from burnish.llm.config.model import Tiny
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.scoring import Scorer
from burnish.llm.sequence import make_sample
from burnish.llm.testing import params_of
from burnish.llm.versioned_weights import Weights
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.mesh import build_mesh
from burnish.rl.mismatch_baseline import ROLLOUTS
from burnish.rl.mismatch_limit import FLOAT32_LIMIT, MULTIPLE, MismatchLimit, NoiseFloor
from burnish.rl.objectives.mismatch import ABSOLUTE
from burnish.sample.config.engine import InProcess
from burnish.sample.engine import EngineContext, EngineLimits
from burnish.sample.request import Request

JAX = JaxConfig(compute_dtype="bfloat16")
ROWS, PROMPT, NEW = 24, 8, 24


def update(mismatch):
    return {ABSOLUTE: (mismatch * 50, 50)}


class Fixed:
    """A floor that is known, and how often somebody asked."""

    def __init__(self, nats):
        self.nats, self.asked, self.numerics = nats, 0, {}

    def __call__(self, *_):
        self.asked += 1
        return self.nats


@pytest.mark.parametrize("mismatch", [0.011, np.nan, np.inf])
def test_a_number_is_the_limit(mismatch):
    limit = MismatchLimit.of(0.01, "bfloat16", Fixed(1.0))
    assert limit.exceeded(update(0.009), None, None) is None
    assert "above max_mismatch=0.01" in str(limit.exceeded(update(mismatch), None, None))


def test_auto_is_fixed_in_float32_and_measured_in_bfloat16():
    assert MismatchLimit.of("auto", "float32", Fixed(1.0)) == MismatchLimit(nats=FLOAT32_LIMIT)
    floor = Fixed(0.01)
    limit = MismatchLimit.of("auto", "bfloat16", floor)
    assert [limit.exceeded(update(mismatch), None, None) for mismatch in (0.012, 0.014)] == [None, None]
    assert floor.asked == 2
    assert "above max_mismatch=0.015" in str(limit.exceeded(update(0.016), None, None))
    floor.nats = 0.02
    assert limit.exceeded(update(0.016), None, None) is None


def test_a_restart_has_the_limit_of_before():
    before, after = (MismatchLimit.of("auto", "bfloat16", Fixed(0.01)) for _ in range(2))
    before.exceeded(update(0.012), None, None)
    after.load_state(Restored(before.save_state().json, None, None))
    assert after.nats == before.nats == MULTIPLE * 0.01


@pytest.fixture(scope="module", params=[2, 24])
def sampled(request):
    """Return the floor of a model, its weights, and a function to an update's mismatch and batch."""
    mesh = build_mesh()
    options = Tiny(num_layers=request.param, scan_unroll=1)
    bundle = options.build(ModelContext(tokenizer=ByteTokenizer(), jax=JAX))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params_of(bundle))
    context = EngineContext(
        model=bundle.model,
        tokenizer=bundle.tokenizer,
        mesh=mesh,
        limits=EngineLimits(max_tokens=PROMPT + NEW),
        jax=JAX,
    )
    engine = InProcess(slots=ROWS, prefill_rows=ROWS, prefill_tokens=PROMPT).build(context)
    prompts = np.random.default_rng(0).integers(0, 250, (ROWS, PROMPT))
    scorer = Scorer(model=bundle.model, mesh=mesh)

    def roll_out(weights, temperature=1.0):
        engine.update_weights(Weights(1, weights))
        asked = {"max_new_tokens": NEW, "temperature": temperature}
        requests = [
            Request(id=number, prompt_tokens=prompt, key_words=(0, 1, 1, 2, number), **asked)
            for number, prompt in enumerate(prompts)
        ]
        done = engine.generate(requests)
        rows = [
            make_sample(prompt, each.tokens, {"behavior_logprobs": each.logprobs}, is_sampled=True)
            for prompt, each in zip(prompts, done, strict=True)
        ]
        batch = make_batch(
            rows, num_rows=ROWS, length=PROMPT + NEW, pad_token_id=256, columns=["behavior_logprobs"]
        )
        logprobs = np.asarray(scorer(params, batch, ["logprobs"])["logprobs"])
        difference = np.abs(logprobs - batch.columns["behavior_logprobs"]) * batch.trained
        return {ABSOLUTE: (difference.sum(), batch.trained.sum())}, batch

    return NoiseFloor(model=bundle.model, mesh=mesh), params, roll_out


def test_the_engine_as_it_is_passes(sampled):
    floor, params, roll_out = sampled
    statistics, batch = roll_out(params)
    limit = MismatchLimit.of("auto", "bfloat16", floor)
    for _ in range(ROLLOUTS + 1):
        assert limit.exceeded(statistics, params, batch) is None
    assert limit.baseline.is_complete
    assert limit.nats > FLOAT32_LIMIT, "it is measured"


def test_weights_that_go_stale_later_are_seen_before_the_fixed_multiple_sees_them(sampled):
    floor, params, roll_out = sampled
    _, batch = roll_out(params)
    score = Scorer(model=floor.model, mesh=floor.mesh)

    def scored(weights):
        """Return the update of an engine that rounds as the trainer does, with other weights."""
        both = weights, params
        behavior, trained = (np.asarray(score(tree, batch, ["logprobs"])["logprobs"]) for tree in both)
        return {ABSOLUTE: ((np.abs(trained - behavior) * batch.trained).sum(), batch.trained.sum())}

    limit, fixed = (MismatchLimit.of("auto", "bfloat16", floor) for _ in range(2))
    for _ in range(ROLLOUTS):
        assert limit.exceeded(scored(params), params, batch) is None
    stale = (scored(partly_stale(params, 0.5**halvings)) for halvings in range(16, 0, -1))
    found = next(each for each in stale if limit.exceeded(each, params, batch))
    assert "it has drifted" in str(limit.exceeded(found, params, batch))
    assert fixed.exceeded(found, params, batch) is None, "twin: the multiple alone"


def partly_stale(params, part):
    """Weights that a part of all numbers differs in, by the least that bfloat16 can."""
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(params))))

    def change(leaf):
        return jnp.where(jax.random.uniform(next(keys), leaf.shape) < part, leaf * 1.0078125, leaf)

    return jax.tree.map(change, params)


def scaled(params):
    layers = jax.tree.map(lambda leaf: leaf.at[0].multiply(1.05), params["layers"])
    return {**params, "layers": layers}


def stale(params):
    """Weights before an update of a thousandth each."""
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(params))))
    return jax.tree.map(
        lambda leaf: (leaf + 1e-3 * jax.random.rademacher(next(keys), leaf.shape)).astype(leaf.dtype), params
    )


def same(params):
    return params


@pytest.mark.parametrize(("change", "temperature"), [(scaled, 1.0), (stale, 1.0), (same, 0.95)])
def test_twin_an_engine_that_is_not_the_policy_does_not(sampled, change, temperature):
    floor, params, roll_out = sampled
    statistics, batch = roll_out(change(params), temperature)
    reason = MismatchLimit.of("auto", "bfloat16", floor).exceeded(statistics, params, batch)
    assert "the engine does not sample from the trained policy" in str(reason)
