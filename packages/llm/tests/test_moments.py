"""Moments in bfloat16: half the bytes, and updates as near to those of fp32 as rounding by chance can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm import rounding
from burnish.llm.batch import TokenBatch
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.footprint import human_bytes
from burnish.llm.objective import cross_entropy
from burnish.llm.optimizer import OptimizerContext
from burnish.llm.placement import place_params
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.config import JaxConfig

UPDATES = 3000
"""Three times what a second moment with a decay of 0.999 remembers."""
BOUND = 0.5 * 2**-8 * (1 - 0.999**2) ** -0.5 + 2**-8 * (1 - 0.9**2) ** -0.5
"""Largest error of an update, 0.053, relative to its norm.

A number in bfloat16 is 2^-7 of itself or less from the next, so rounding by chance has a standard deviation
of 2^-8 of it at most. A moment sums the errors of all updates with its decay: they grow by
(1 - decay^2)^-1/2. The root of the second moment halves its error.
"""


@pytest.fixture
def error(model):
    """Return a function to the error of the last update of many, relative to fp32's."""

    def last_update(moment_dtype, gradients):
        component = AdamW(schedule="constant", learning_rate=1.0, moment_dtype=moment_dtype)
        optimizer = component.build(OptimizerContext(total_steps=UPDATES, model=model))
        transformation = optimizer.transformation(optimizer.hyper(0))
        params = {"final_norm": jnp.zeros(gradients.shape[1:])}

        def step(state, gradient):
            updates, state = transformation.update({"final_norm": gradient}, state, params)
            return state, updates["final_norm"]

        return np.asarray(
            jax.jit(lambda: jax.lax.scan(step, transformation.init(params), gradients))()[1][-1]
        )

    def measured(gradients):
        exact, found = (last_update(dtype, gradients) for dtype in ("float32", "bfloat16"))
        return np.linalg.norm(found - exact) / np.linalg.norm(exact)

    return measured


@pytest.fixture(params=["steady", "falling"])
def gradients(request):
    """Return gradients of one size, or of one that falls to a tenth."""
    sizes = np.ones(UPDATES) if request.param == "steady" else np.geomspace(1, 0.1, UPDATES)
    drawn = np.random.default_rng(0).normal(1, 1, (UPDATES, 256))
    return jnp.asarray(sizes[:, None] * drawn, jnp.float32)


def test_updates_from_bfloat16_moments_are_near_those_of_fp32(error, gradients):
    assert error(gradients) < BOUND


def test_twin_moments_rounded_to_the_nearest_are_not(error, gradients, monkeypatch):
    monkeypatch.setattr(rounding, "round_by_chance", lambda _, values: values.astype(jnp.bfloat16))
    assert error(gradients) > BOUND


def test_training_with_bfloat16_moments_learns_what_fp32_learns(make_training, batch_of):
    def last_loss(moment_dtype):
        training = make_training(optimizer=AdamW(learning_rate=1e-3, moment_dtype=moment_dtype))
        batch = batch_of()
        for _ in range(19):
            training.step(batch, cross_entropy)
        return float(training.step(batch, cross_entropy).statistics["train/loss"][0])

    assert last_loss("bfloat16") == pytest.approx(last_loss("float32"), rel=0.01)


def test_moments_in_bfloat16_take_half_the_bytes_and_the_plan_says_so(model, mesh):
    def planned(moment_dtype):
        context = TrainingContext(
            model=model,
            load=lambda like: place_params(model.init(0), like),
            optimizer=AdamW(moment_dtype=moment_dtype),
            total_steps=3,
            mesh=mesh(),
            jax=JaxConfig(),
        )
        return JaxTraining().plan(context, TokenBatch.like(num_rows=4, length=8), cross_entropy)

    exact, narrow = planned("float32"), planned("bfloat16")
    num_params = exact["parameters"]
    counters = 4 + 4 + 4  # step, skipped, and Adam's count
    said = "memory of parameters and optimizer"
    assert exact[said] == human_bytes(num_params * (4 + 4 + 4) + counters)
    assert narrow[said] == human_bytes(num_params * (4 + 2 + 2) + counters + 4)
