import jax.numpy as jnp
import numpy as np
import optax
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.optimizer import OptimizerContext, TracedOptimizer, decay_mask

pytestmark = pytest.mark.fast

PEAK = 0.01


@pytest.fixture
def built(hf_config):
    """Return a maker of optimizers over a number of steps."""

    def build(total_steps, **options):
        context = OptimizerContext(
            total_steps=total_steps, model=Qwen2().build(FamilyContext(hf_config=hf_config))
        )
        return AdamW(learning_rate=PEAK, **options).build(context)

    return build


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1]),
        ({"schedule": "constant", "warmup_steps": 2}, [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ({"schedule": "linear", "warmup_steps": 2}, [1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4]),
        ({"schedule": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        (
            {"schedule": "cosine", "warmup_steps": 2},
            [1 / 3, 2 / 3, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2],
        ),
        (
            {"schedule": "warmup_stable_decay", "warmup_steps": 1, "decay_fraction": 0.5},
            [1 / 2, 1, 1, 1, 2 / 3, 1 / 3],
        ),
        ({"schedule": "warmup_stable_decay", "decay_fraction": 0.0}, [1, 1, 1, 1, 1, 1]),
        ({"schedule": "linear", "warmup_steps": 11}, [1 / 12, 2 / 12, 3 / 12, 4 / 12, 5 / 12, 6 / 12]),
    ],
)
def test_schedule_when_six_steps_then_equals_hand_computed(built, options, expected):
    optimizer = built(6, **options)
    rates = np.array([optimizer.hyper(step)["learning_rate"] for step in range(6)]) / PEAK
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-7)


def params():
    return {
        "embed": jnp.full((4, 3), 0.5),
        "layers": {
            "q_proj": {"kernel": jnp.full((2, 3, 3), 0.5), "bias": jnp.full((2, 3, 1), 0.5)},
            "norm": jnp.full((2, 3), 0.5),
        },
        "final_norm": jnp.full((3,), 0.5),
    }


def test_decay_mask_when_layers_are_stacked_then_norms_and_biases_do_not_decay():
    mask = decay_mask(params())
    assert mask == {
        "embed": True,
        "layers": {"q_proj": {"kernel": True, "bias": False}, "norm": False},
        "final_norm": False,
    }
    by_number_of_dims = {"q_proj": {"kernel": True, "bias": True}, "norm": True}
    assert mask["layers"] != by_number_of_dims


def numpy_adamw(theta, gradients, options, learning_rates, *, corrects_bias=True):
    """Loshchilov and Hutter, algorithm 2, as written in the paper."""
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for count, (gradient, rate) in enumerate(zip(gradients, learning_rates, strict=True), start=1):
        first = options.b1 * first + (1 - options.b1) * gradient
        second = options.b2 * second + (1 - options.b2) * gradient**2
        scale_1, scale_2 = (1 - options.b1**count, 1 - options.b2**count) if corrects_bias else (1, 1)
        step = (first / scale_1) / (np.sqrt(second / scale_2) + options.eps)
        theta = theta - rate * (step + options.weight_decay * theta)
    return theta


def test_adamw_when_ten_steps_then_equals_numpy_and_a_broken_one_does_not(built):
    chosen = {"schedule": "cosine", "warmup_steps": 3, "b2": 0.95, "weight_decay": 0.1}
    options, optimizer = AdamW(learning_rate=PEAK, **chosen), built(10, **chosen)
    assert isinstance(optimizer, TracedOptimizer)
    rng = np.random.default_rng(1)
    theta, gradients = rng.normal(size=(3, 4)), rng.normal(size=(10, 3, 4))
    tree = {"embed": jnp.asarray(theta, jnp.float32)}
    state = optimizer.blank().init(tree)
    for number, gradient in enumerate(gradients):
        transformation = optimizer.transformation(optimizer.hyper(number))
        updates, state = transformation.update({"embed": jnp.asarray(gradient, jnp.float32)}, state, tree)
        tree = optax.apply_updates(tree, updates)
    learning_rates = [float(optimizer.hyper(step)["learning_rate"]) for step in range(10)]
    np.testing.assert_allclose(
        tree["embed"], numpy_adamw(theta, gradients, options, learning_rates), rtol=2e-5
    )
    uncorrected = numpy_adamw(theta, gradients, options, learning_rates, corrects_bias=False)
    assert not np.allclose(tree["embed"], uncorrected, rtol=1e-3)


def test_adamw_when_gradient_is_zero_then_only_matrices_decay(built):
    optimizer = built(1, schedule="constant", weight_decay=0.1)
    transformation = optimizer.transformation(optimizer.hyper(0))
    zeros = {name: jnp.zeros_like(leaf) for name, leaf in params()["layers"]["q_proj"].items()}
    tree = {"layers": {"q_proj": params()["layers"]["q_proj"]}}
    updates, _ = transformation.update({"layers": {"q_proj": zeros}}, transformation.init(tree), tree)
    np.testing.assert_allclose(updates["layers"]["q_proj"]["kernel"], -PEAK * 0.1 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(updates["layers"]["q_proj"]["bias"], 0)
