"""Each optimizer against its paper in numpy, or against optax on trees of single matrices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from burnish.llm.config.family import Mixtral
from burnish.llm.config.optimizer import SGD, Adafactor, AdamW, Lion, Muon
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.lora.low_rank import LowRank
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.optimizer import OptimizerContext, TracedOptimizer
from burnish.llm.optimizers.matrices import dims_of_one, hidden_matrices
from burnish.platform.errors import ConfigError

STEPS = 5
EVERY = (AdamW, Lion, SGD, Adafactor, Muon)
SMALL = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 12,
    "num_local_experts": 3,
    "num_experts_per_tok": 2,
}


@pytest.fixture(scope="module")
def model():
    """Return a decoder whose leaves are of every kind: heads, experts, vectors, embedding and head."""
    return Mixtral().build(FamilyContext(hf_config={"model_type": "mixtral", **SMALL}))


def flat(tree):
    return {
        tuple(key.key for key in keys): np.asarray(leaf, np.float64)
        for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def gradients_of(params):
    """Return gradients that differ in size from leaf to leaf, some entries near 0."""
    random = np.random.default_rng(1)
    return [
        jax.tree.map(lambda leaf: jnp.asarray(0.1 * random.normal(size=leaf.shape) ** 3, jnp.float32), params)
        for _ in range(STEPS)
    ]


def run(model, component, *, moved=None):
    """Return the parameters before and after, the gradients and the learning rates, leaves by path."""
    optimizer = component.build(OptimizerContext(total_steps=2 * STEPS, model=model))
    assert isinstance(optimizer, TracedOptimizer)
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), model.init(0)
    )
    before, gradients, state = flat(params), gradients_of(params), optimizer.blank().init(params)

    @jax.jit
    def update(number, gradient, state, params):
        hyper = {**optimizer.hyper(number), **(moved or {})}
        updates, state = optimizer.transformation(hyper).update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for number, gradient in enumerate(gradients):
        params, state = update(number, gradient, state, params)
    rates = [float(optimizer.hyper(number)["learning_rate"]) for number in range(STEPS)]
    return before, flat(params), [flat(gradient) for gradient in gradients], rates


def decay_of(component, model, path):
    return component.weight_decay * (path in model.matrices)


def assert_follows(model, component, rule, *, rtol=2e-5):
    """Compare every leaf with `rule(path, theta, gradients, rates, decay)` in numpy."""
    before, after, gradients, rates = run(model, component)
    for path, theta in before.items():
        own = [gradient[path] for gradient in gradients]
        expected = rule(path, theta, own, rates, decay_of(component, model, path))
        np.testing.assert_allclose(after[path], expected, rtol=rtol, atol=1e-6, err_msg=str(path))


def numpy_adamw(options):
    """Loshchilov and Hutter, algorithm 2."""

    def rule(_, theta, gradients, rates, decay):
        first = second = np.zeros_like(theta)
        for count, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
            first = options.b1 * first + (1 - options.b1) * gradient
            second = options.b2 * second + (1 - options.b2) * gradient**2
            corrected = np.sqrt(second / (1 - options.b2**count)) + options.eps
            theta = theta - rate * (first / (1 - options.b1**count) / corrected + decay * theta)
        return theta

    return rule


def numpy_lion(options):
    """Chen et al., algorithm 2."""

    def rule(_, theta, gradients, rates, decay):
        moment = np.zeros_like(theta)
        for gradient, rate in zip(gradients, rates, strict=True):
            direction = np.sign(options.b1 * moment + (1 - options.b1) * gradient)
            moment = options.b2 * moment + (1 - options.b2) * gradient
            theta = theta - rate * (direction + decay * theta)
        return theta

    return rule


def numpy_sgd(options):
    def rule(_, theta, gradients, rates, decay):
        trace = np.zeros_like(theta)
        for gradient, rate in zip(gradients, rates, strict=True):
            trace = options.momentum * trace + gradient
            ahead = options.momentum * trace + gradient if options.nesterov else trace
            theta = theta - rate * (ahead + decay * theta)
        return theta

    return rule


def test_adamw_when_five_steps_then_equals_numpy(model):
    options = AdamW(learning_rate=0.01, weight_decay=0.1)
    assert_follows(model, options, numpy_adamw(options))


def test_lion_when_five_steps_then_equals_numpy_and_with_one_beta_for_both_does_not(model):
    options = Lion(learning_rate=0.01, weight_decay=0.1)
    assert_follows(model, options, numpy_lion(options))
    with pytest.raises(AssertionError):
        assert_follows(model, options, numpy_lion(dataclasses.replace(options, b2=options.b1)))


@pytest.mark.parametrize("chosen", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], ids=str)
def test_sgd_when_five_steps_then_equals_numpy(model, chosen):
    options = SGD(learning_rate=0.1, weight_decay=0.1, schedule="linear", **chosen)
    assert_follows(model, options, numpy_sgd(options))
    other = SGD(learning_rate=0.1, weight_decay=0.1, momentum=0.0 if chosen else 0.5)
    with pytest.raises(AssertionError):
        assert_follows(model, options, numpy_sgd(other))


def test_nesterov_without_momentum_is_refused_and_what_it_names_is_legal():
    with pytest.raises(ConfigError, match=r"set momentum=0\.9, or nesterov=false"):
        SGD(nesterov=True)
    assert SGD(nesterov=True, momentum=0.9) != SGD(nesterov=False)


def one_by_one(model, tree):
    """Return a tree in which every layer's and every expert's own matrix [in out] or vector is a leaf."""
    ones = {}
    for path, leaf in tree.items():
        num_stacked = model.parameter_names[path].num_stacked
        for index in np.ndindex(leaf.shape[:num_stacked]):
            one = leaf[index]
            if path in model.matrices:
                one = one.reshape(np.prod(one.shape[: len(model.matrices[path].inputs)], dtype=int), -1)
            ones[f"{path} {index}"] = jnp.asarray(one, jnp.float32)
    return ones


@pytest.mark.parametrize("scale_parameter", [True, False])
def test_adafactor_when_stacked_then_equals_optax_on_each_matrix_alone(model, scale_parameter):
    # Below this size of a dim optax factors; here all matrices but those of the router.
    options = Adafactor(
        learning_rate=0.05, schedule="constant", scale_parameter=scale_parameter, min_dim_size_to_factor=4
    )
    before, after, gradients, _ = run(model, options)
    reference = optax.adafactor(
        0.05, min_dim_size_to_factor=4, multiply_by_parameter_scale=scale_parameter, clipping_threshold=1.0
    )
    params = one_by_one(model, before)
    state = reference.init(params)
    for gradient in gradients:
        updates, state = reference.update(one_by_one(model, gradient), state, params)
        params = optax.apply_updates(params, updates)
    for name, expected in one_by_one(model, after).items():
        np.testing.assert_allclose(expected, params[name], rtol=1e-5, atol=1e-6, err_msg=name)
    whole = {name: jnp.asarray(leaf, jnp.float32) for name, leaf in before.items()}
    state = reference.init(whole)
    for gradient in gradients:
        updates, state = reference.update(jax.tree.map(jnp.float32, gradient), state, whole)
        whole = optax.apply_updates(whole, updates)
    gate = ("layers", "mlp", "gate")
    assert not np.allclose(whole[gate], after[gate], rtol=1e-3), "clipped over all layers, it would differ"


def test_adafactor_when_decay_is_set_then_it_is_per_unit_of_learning_rate(model):
    plain, decaying = (
        run(model, Adafactor(learning_rate=1e-3, schedule="constant", weight_decay=decay))[1]
        for decay in (0.0, 0.1)
    )
    shrunk = {path: (plain[path] - decaying[path]) for path in plain}
    embed = ("embed",)
    np.testing.assert_allclose(shrunk[embed], STEPS * 1e-3 * 0.1 * plain[embed], rtol=0.05, atol=1e-5)
    assert not shrunk[("final_norm",)].any()


def orthogonalized(matrix, steps):
    """Five iterations of Newton and Schulz with the coefficients of Keller Jordan."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (np.linalg.norm(matrix) + 1e-8)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def numpy_muon(options, model, *, one_matrix_per_leaf=False):
    """Jordan's Muon, each matrix by itself, scaled as Liu et al. do."""
    rest = numpy_adamw(options)

    def rule(path, theta, gradients, rates, decay):
        if "layers" not in path[:2] or path not in model.matrices:
            return rest(path, theta, gradients, rates, decay)
        inputs, outputs = model.matrices[path]
        stack = np.prod(theta.shape[: inputs[0]], dtype=int)
        sides = [int(np.prod([theta.shape[dim] for dim in dims])) for dims in (inputs, outputs)]
        shape = (1, stack * sides[0], sides[1]) if one_matrix_per_leaf else (stack, *sides)
        moment = np.zeros_like(theta)
        for count, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
            beta = options.momentum
            moment = beta * moment + (1 - beta) * gradient
            ahead = beta * moment / (1 - beta ** (count + 1)) + (1 - beta) * gradient / (1 - beta**count)
            pieces = [orthogonalized(one, options.newton_schulz_steps) for one in ahead.reshape(shape)]
            update = 0.2 * np.sqrt(max(sides)) * np.stack(pieces).reshape(theta.shape)
            theta = theta - rate * (update + decay * theta)
        return theta

    return rule


def test_muon_when_five_steps_then_equals_numpy_and_with_layers_as_one_matrix_does_not(model):
    options = Muon(learning_rate=0.01, weight_decay=0.1)
    assert_follows(model, options, numpy_muon(options, model), rtol=1e-4)
    with pytest.raises(AssertionError):
        assert_follows(model, options, numpy_muon(options, model, one_matrix_per_leaf=True), rtol=1e-4)


@pytest.fixture
def adapted(model):
    """Return the model with low-rank updates and norms beside two of its matrices."""
    targets = (("layers", "attention", "query"), ("layers", "mlp", "up"))
    return AdaptedLM(model, LowRank(rank=4, alpha=8.0, dora=True), targets)


def test_muon_when_updates_are_trained_then_theirs_are_matrices_and_norms_are_not(adapted):
    """The twin is AdamW, for all that lies beside the layers."""
    options = Muon(learning_rate=0.01, weight_decay=0.1)
    assert_follows(adapted, options, numpy_muon(options, adapted), rtol=1e-4)
    with pytest.raises(AssertionError):
        assert_follows(adapted, options, numpy_adamw(options), rtol=1e-4)
    taken = {path[-1] for path in hidden_matrices(adapted) if path[0] == "adapters"}
    assert taken == {"a", "b"}


def test_adafactor_when_norms_are_trained_then_those_of_each_layer_are_one_vector(adapted):
    beside = ("adapters", "layers", "attention", "query")
    assert dims_of_one(adapted, (*beside, "magnitude"), 3) == (1, 2)
    assert dims_of_one(adapted, (*beside, "a"), 3) == (1, 2)
    assert dims_of_one(adapted, ("final_norm",), 1) == (0,)


def test_muon_when_stepped_then_every_singular_value_is_near_that_of_its_scale(model):
    before, after, _, _ = run(model, Muon(learning_rate=0.01, schedule="constant"))
    path = ("layers", "attention", "query")
    moved = (after[path] - before[path])[0].reshape(8, 8)
    values = np.linalg.svd(moved, compute_uv=False) / (STEPS * 0.01 * 0.2 * np.sqrt(8))
    assert values.max() < 1.3


@pytest.mark.parametrize("component", EVERY)
def test_every_optimizer_when_its_learning_rate_is_moved_then_follows_it(model, component):
    before, after, _, rates = run(model, component(), moved={"learning_rate": jnp.float32(0.0)})
    for path, theta in before.items():
        np.testing.assert_array_equal(after[path], theta)
    assert rates[0] == pytest.approx(component().learning_rate)
