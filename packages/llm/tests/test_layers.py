"""Layers one by one or in a compiled loop: the same numbers, the same recomputation, and what is compiled."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention_choice import attention_of
from burnish.llm.batch import make_batch
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.families.layers import MAX_UNROLLED, Compute
from burnish.llm.objective import cross_entropy
from burnish.llm.sequence import make_sample
from burnish.llm.train_step import compiled_accumulate
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.errors import ConfigError


@pytest.fixture
def gradient(model, scaled_params):
    """Return a function to the compiled gradient of a loss over two layers, by options of `Compute`."""

    def compiled(length=11, **options):
        tokens = jnp.asarray(np.random.default_rng(0).integers(0, 60, (3, length)), jnp.int32)
        positions = jnp.tile(jnp.arange(length)[None], (3, 1))
        computed = dataclasses.replace(model, compute=Compute(**options))

        def loss(params):
            hidden = computed.forward(params, tokens, positions, jnp.ones_like(tokens)).hidden
            return jnp.mean(computed.head(params).logits(hidden) ** 2)

        return jax.jit(jax.grad(loss)).lower(scaled_params(model)).compile()

    return compiled


@pytest.mark.parametrize("unroll", ["auto", 2, 1])
def test_rematerialized_layers_are_computed_again(gradient, unroll):
    flops = {
        remat: gradient(unroll=unroll, remat=remat).cost_analysis()["flops"] for remat in ("none", "full")
    }
    assert flops["full"] > 1.15 * flops["none"]


@pytest.mark.parametrize(("remat", "loops"), [("none", 4), ("dots", 4), ("attention", 4), ("full", 6)])
def test_attention_is_computed_again_where_everything_is(gradient, remat, loops):
    """Of each layer there is a loop over blocks forward and one backward; again forward in `full` alone."""
    named = attention_of("chunked", None, Artifacts())
    text = gradient(length=300, remat=remat, attention=named).as_text()
    assert text.count(" while(") == loops


@pytest.mark.fast
def test_each_remat_keeps_less_than_the_one_before(model):
    """The leaves of a pulled-back function are what it keeps."""
    tokens = jnp.zeros((3, 300), jnp.int32)

    def kept(remat):
        named = Compute(remat=remat, attention=attention_of("chunked", None, Artifacts()))
        computed = dataclasses.replace(model, compute=named)

        def forward(params):
            return computed.forward(params, tokens, tokens, tokens + 1).hidden

        pulled = jax.eval_shape(lambda params: jax.vjp(forward, params)[1], model.abstract("float32"))
        return sum(leaf.size for leaf in jax.tree.leaves(pulled))

    sizes = [kept(remat) for remat in ("none", "dots", "attention", "full")]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


@pytest.fixture
def lowered(make_training, model):
    """Return a function to the compiled text of `forward_backward`, by the model's unrolling."""

    def text(unroll="auto", micro_batch_rows="all", rows=4):
        computed = dataclasses.replace(model, compute=Compute(unroll=unroll))
        training = make_training(model=computed, micro_batch_rows=micro_batch_rows)
        samples = [make_sample([row], range(row + 1, row + 8)) for row in range(rows)]
        batch = make_batch(samples, num_rows=rows, length=8, pad_token_id=60)
        program = training._program(batch, cross_entropy, ())
        return compiled_accumulate(program).lower(training._weights, None, batch).compile().as_text()

    return text


def test_a_small_batch_of_a_small_model_has_no_loop(lowered):
    assert " while(" not in lowered()


@pytest.mark.parametrize("options", [{"unroll": 1}, {"micro_batch_rows": 2}], ids=str)
def test_twin_layers_or_micro_batches_in_a_loop_are_seen(lowered, options):
    assert " while(" in lowered(**options)


def test_dropout_is_that_of_the_layer_in_either_form(make_training, model, batch_of):
    losses = []
    for unroll in ("auto", 1):
        computed = dataclasses.replace(model, compute=Compute(unroll=unroll))
        training = make_training(model=computed, dropout=0.3)
        found = training.step(batch_of(), cross_entropy, key_words=(1, 2, 3, 4, 5)).statistics
        losses.append(float(found["train/grad_norm"][0]))
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("unroll", "num_layers", "unrolls"),
    [("auto", MAX_UNROLLED, True), ("auto", MAX_UNROLLED + 1, False), (4, 4, True), (4, 5, False)],
)
def test_auto_has_no_loop_over_few_layers_and_a_number_over_as_many(unroll, num_layers, unrolls):
    assert Compute(unroll=unroll).unrolls(num_layers) is unrolls


def test_the_default_is_that_of_every_model():
    assert Compute() == Compute(unroll=Tiny().scan_unroll, remat=Tiny().remat)
    assert Compute().unroll == Pretrained(name_or_path="directory").scan_unroll


def test_unrolling_that_is_no_number_of_layers_is_refused():
    for wrong in (0, "all"):
        with pytest.raises(ConfigError, match=r"scan_unroll\b.*'auto'"):
            Tiny(scan_unroll=wrong)
