"""Low-rank updates beside frozen matrices: what they compute, what is trained, and what goes to others."""

import functools
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.config.family import Mixtral, Qwen2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.lora.low_rank import LowRank
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.lora.targets import ALL_LINEAR, targets_of
from burnish.llm.testing_scores import assert_same_scores, tokens_of

RANK, ALPHA = 4, 6.0


@dataclass(frozen=True)
class Merging:
    """A model of another family: nothing is known of how it multiplies, so updates are merged."""

    inner: object

    def __getattr__(self, name):
        if name == "adapted_paths":
            raise AttributeError(name)
        return getattr(self.inner, name)


@pytest.fixture
def mixtral(hf_config):
    """Return a tiny Mixtral."""
    config = {
        **hf_config,
        "model_type": "mixtral",
        "num_hidden_layers": 1,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "tie_word_embeddings": False,
    }
    return Mixtral().build(FamilyContext(hf_config=config))


def adapted(model, patterns=ALL_LINEAR, **options):
    low_rank = LowRank(**{"rank": RANK, "alpha": ALPHA, **options})
    return AdaptedLM(model, low_rank, targets_of(model, patterns, ()))


def felt(model, params, seed=5):
    """Return parameters whose updates are as large as their matrices."""
    generator = np.random.default_rng(seed)
    made = model.beside(params, seed)
    drawn = jax.tree.map(
        lambda leaf: np.asarray(leaf + 0.2 * generator.standard_normal(leaf.shape), np.float32),
        made["adapters"],
    )
    return {**made, "adapters": drawn}


def merged_by_hand(model, params):
    """Return the base's parameters with their updates, written anew from the definitions in numpy's words."""
    made = jax.tree.map(lambda leaf: leaf, {**params, "adapters": None})
    del made["adapters"]
    for path in model.targets:
        beside, at = params["adapters"], made
        for key in path:
            beside = beside[key]
        for key in path[:-1]:
            at = at[key]
        weight, dims = at[path[-1]], model.base.matrices[path]
        stack = "le"[: dims.inputs[0]]
        inputs, outputs = "abc"[: len(dims.inputs)], "xyz"[: len(dims.outputs)]
        update = jnp.einsum(
            f"{stack}{inputs}r,{stack}r{outputs}->{stack}{inputs}{outputs}",
            beside["a"],
            beside["b"],
            precision="highest",
        )
        scale = ALPHA / (RANK if model.low_rank.scaling == "alpha_over_rank" else RANK**0.5)
        whole = weight + scale * update
        if model.low_rank.dora:
            norm = jax.lax.stop_gradient(jnp.sqrt(jnp.sum(whole**2, axis=dims.inputs, keepdims=True)))
            whole = jnp.expand_dims(beside["magnitude"], dims.inputs) * whole / norm
        at[path[-1]] = whole
    return made


KINDS = {
    "plain": {},
    "rslora": {"scaling": "rslora"},
    "dora": {"dora": True},
}


def cast_as(model, dtype, params):
    return jax.tree.map(
        lambda leaf, like: jnp.asarray(leaf).astype(like.dtype), params, model.abstract(jnp.dtype(dtype))
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("unroll", [1, "auto"])
def test_fresh_updates_change_no_bit_of_any_logit(hf_config, scaled_params, logits_of, unroll, dtype):
    base = Qwen2().build(FamilyContext(hf_config=hf_config, compute=Compute(unroll=unroll)))
    model, params = adapted(base), cast_as(base, dtype, scaled_params(base))
    expected = logits_of(base, params, tokens_of(3))
    fresh = cast_as(model, dtype, model.beside(params, 0))
    np.testing.assert_array_equal(logits_of(model, fresh, tokens_of(3)), expected)
    moved = cast_as(model, dtype, felt(model, params))
    assert np.abs(logits_of(model, moved, tokens_of(3)) - expected).max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("unroll", [1, "auto"])
def test_fresh_norms_change_no_logit_beyond_rounding(hf_config, scaled_params, logits_of, unroll, dtype):
    """A norm is the same sum in two programs, so the last bit may be another.

    The twin has norms in bfloat16, which are up to 1 / 512 off.
    """
    base = Qwen2().build(FamilyContext(hf_config=hf_config, compute=Compute(unroll=unroll)))
    model, params = adapted(base, dora=True), cast_as(base, dtype, scaled_params(base))
    expected = logits_of(base, params, tokens_of(3))
    fresh = cast_as(model, dtype, model.beside(params, 0))
    limit = 1e-5 * np.abs(expected).max()
    assert np.abs(logits_of(model, fresh, tokens_of(3)) - expected).max() <= limit
    coarse = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(leaf.dtype), fresh["adapters"])
    assert np.abs(logits_of(model, {**fresh, "adapters": coarse}, tokens_of(3)) - expected).max() > 10 * limit


@pytest.mark.parametrize(
    ("name", "kind"), [("model", "plain"), ("model", "rslora"), ("model", "dora"), ("mixtral", "dora")]
)
def test_logits_and_gradients_beside_the_product_are_those_of_the_merged_matrix(
    request, scaled_params, logits_of, assert_same_logits, kind, name
):
    base = request.getfixturevalue(name)
    patterns = ALL_LINEAR if name == "model" else ("layers/attention", "layers/mlp")
    model = adapted(base, patterns, **KINDS[kind])
    params = felt(model, scaled_params(base))
    merged = merged_by_hand(model, params)
    expected = logits_of(base, merged, tokens_of(3))
    assert_same_logits(logits_of(model, params, tokens_of(3)), expected)
    assert_same_logits(logits_of(base, model.merged(params), tokens_of(3)), expected)
    ours = gradients(model, params)
    theirs = gradients(base, params, functools.partial(merged_by_hand, model))
    assert_same_scores(ours, theirs)
    others = replace(model, low_rank=replace(model.low_rank, alpha=1.01 * ALPHA))
    for wrong in (
        logits_of(others, params, tokens_of(3)),
        logits_of(base, others.merged(params), tokens_of(3)),
    ):
        with pytest.raises(AssertionError):
            assert_same_logits(wrong, expected)
    with pytest.raises(AssertionError):
        assert_same_scores(gradients(others, params), theirs)


def gradients(model, params, made_of=lambda params: params):
    """Return loss, hidden states and the gradients of the updates alone."""
    frozen = {name: part for name, part in params.items() if name != "adapters"}
    tokens = jnp.asarray(tokens_of(3))
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def loss(adapters):
        whole = made_of({**frozen, "adapters": adapters})
        hidden = model.forward(whole, tokens, positions, jnp.ones_like(tokens)).hidden
        logprobs = jax.nn.log_softmax(model.head(whole).logits(hidden))
        picked = jnp.take_along_axis(logprobs[:, :-1], tokens[:, 1:, None], axis=-1)
        return -jnp.mean(picked), picked

    (total, picked), found = jax.jit(jax.value_and_grad(loss, has_aux=True))(params["adapters"])
    return jax.tree.map(np.asarray, (total, picked, found))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_family_is_merged_in_the_forward_pass_with_the_same_numbers(
    model, scaled_params, kind
):
    beside, within = adapted(model, **KINDS[kind]), adapted(Merging(model), **KINDS[kind])
    params = felt(beside, scaled_params(model))
    assert_same_scores(gradients(within, params), gradients(beside, params))


def largest_products(model, params):
    """Return the sizes of all products of matrices in the forward and backward pass over the updates."""
    frozen = {name: part for name, part in params.items() if name != "adapters"}
    tokens = jnp.asarray(tokens_of(3))
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def loss(adapters):
        whole = {**frozen, "adapters": adapters}
        return jnp.sum(model.forward(whole, tokens, positions, jnp.ones_like(tokens)).hidden ** 2)

    found = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "ragged_dot_general"):
                found.append(equation.outvars[0].aval.size)
            for value in equation.params.values():
                for inner in jax.tree.leaves(value, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
                    if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                        walk(getattr(inner, "jaxpr", inner))

    walk(jax.make_jaxpr(jax.grad(loss))(params["adapters"]).jaxpr)
    return found


def test_no_gradient_of_the_size_of_a_matrix_is_formed(model, scaled_params):
    """The twin merges, and forms one per matrix."""
    size = 32 * 48
    beside, within = adapted(model), adapted(Merging(model))
    params = felt(beside, scaled_params(model))
    assert size not in largest_products(beside, params)
    assert size in largest_products(within, params)


def test_no_gradient_of_experts_is_computed_beside_their_updates(mixtral, scaled_params):
    """The twin asks for the gradients of the matrices too; XLA counts the products of a compiled program."""
    model = adapted(mixtral, ("layers/mlp/gate", "layers/mlp/up", "layers/mlp/down"))
    params = model.beside(scaled_params(mixtral), 0)
    tokens = jnp.asarray(tokens_of(3))
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def loss(adapters, base):
        whole = {**base, "adapters": adapters}
        return jnp.sum(model.forward(whole, tokens, positions, jnp.ones_like(tokens)).hidden ** 2)

    base = {name: part for name, part in params.items() if name != "adapters"}
    of_updates, of_all = (
        jax.jit(jax.grad(loss, arguments)).lower(params["adapters"], base).compile().cost_analysis()["flops"]
        for arguments in (0, (0, 1))
    )
    assert of_updates < 0.6 * of_all
