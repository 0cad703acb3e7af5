"""The balance loss of experts: by its formula, against transformers, and whatever cuts the batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from burnish.llm.balance import BatchRouting, balance_loss, coefficient_of
from burnish.llm.batch import make_batch
from burnish.llm.config.family import Mixtral, Qwen3MoE
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.families.routing import RouterSums, Routing, summed
from burnish.llm.micro_batches import place
from burnish.llm.objective import cross_entropy
from burnish.llm.scalar_head import scalar_head
from burnish.llm.sequence import make_sample
from burnish.llm.sharding import parameter_shardings
from burnish.llm.testing import scaled_params, tiny_qwen2
from burnish.llm.train_state import StateLayout
from burnish.llm.train_step import ComputeCopies, GradientProgram, accumulate
from burnish.llm.weights import save_huggingface
from burnish.platform.configuration.config import MeshConfig
from burnish.platform.device.mesh import build_mesh
from burnish.platform.errors import ConfigError

VOCAB, LENGTH, COEFFICIENT = 60, 12, 0.5
COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 24,
    "moe_intermediate_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "output_router_logits": True,
    "router_aux_loss_coef": COEFFICIENT,
}
FAMILIES = {
    "mixtral": (Mixtral(), {"model_type": "mixtral", "num_local_experts": 4, "sliding_window": None}),
    "qwen3_moe": (Qwen3MoE(), {"model_type": "qwen3_moe", "num_experts": 6, "norm_topk_prob": True}),
}


def model_of(name, num_layers):
    family, own = FAMILIES[name]
    return family.build(FamilyContext(hf_config={**COMMON, **own, "num_hidden_layers": num_layers}))


def ragged_batch():
    """Return eight rows of 5 to 12 tokens, padded on the right."""
    rng = np.random.default_rng(0)
    samples = [
        make_sample(rng.integers(0, VOCAB, 3), rng.integers(0, VOCAB, 2 + number)) for number in range(8)
    ]
    return make_batch(samples, num_rows=8, length=LENGTH, pad_token_id=0)


@functools.cache
def jitted(program):
    return jax.jit(lambda weights, batch: accumulate(program, weights, None, batch)[:2])


def measured(model, batch, mesh, *, rows=None, coefficient=COEFFICIENT, scale=0.3):
    """Return loss, gradients and the statistic of the balance loss."""
    layout = StateLayout(
        model=model,
        optimizer=AdamW(),
        total_steps=1,
        param_dtype="float32",
        compute_dtype="float32",
        mesh=mesh,
    )
    program = GradientProgram(
        layout=layout,
        objective=cross_entropy,
        micro_batch_rows=rows or batch.tokens.shape[0],
        logprob_chunk=64,
        balance_coefficient=coefficient,
    )
    weights = jax.device_put(scaled_params(model, scale=scale), parameter_shardings(model, mesh))
    pending, statistics = jitted(program)(ComputeCopies(weights, {}), place(batch, mesh))
    balance = statistics.get("train/balance_loss")
    balance = None if balance is None else float(balance[0] / balance[1])
    return float(pending.loss), jax.tree.map(np.asarray, pending.gradients), balance


def assert_equal(actual, expected):
    np.testing.assert_allclose((actual[0], actual[2]), (expected[0], expected[2]), rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(actual[1]), jax.tree.leaves(expected[1]), strict=True):
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)


@pytest.mark.fast
def test_the_loss_is_the_formula_over_tokens_that_are_no_padding():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), (3, 2, 7)).astype(np.float32)
    chosen = np.stack([rng.permuted(np.arange(5)[None].repeat(14, 0), axis=1)[:, :2] for _ in range(3)])
    chosen, is_token = chosen.reshape(3, 2, 7, 2), rng.random((2, 7)) < 0.7

    def by_loops(counted):
        layers = []
        for of_layer, taken in zip(probabilities, chosen, strict=True):
            tokens = list(zip(of_layer[counted], taken[counted], strict=True))
            shares = [sum(expert in each for _, each in tokens) / len(tokens) for expert in range(5)]
            means = np.mean([each for each, _ in tokens], axis=0)
            layers.append(5 * np.sum(shares * means))
        return np.mean(layers)

    each = [
        summed(Routing(jnp.asarray(p), jnp.asarray(c)), jnp.asarray(is_token))
        for p, c in zip(probabilities, chosen, strict=True)
    ]
    sums = jax.tree.map(lambda *layers: jnp.stack(layers), *each)
    found = balance_loss(sums, BatchRouting(sums.counts, jnp.float32(is_token.sum())))
    np.testing.assert_allclose(found, by_loops(is_token), rtol=1e-6)
    assert abs(by_loops(np.ones_like(is_token)) - found) > 1e-3


@pytest.mark.fast
def test_experts_that_are_taken_alike_give_the_number_that_a_token_takes():
    sums = RouterSums(probabilities=jnp.full((2, 6), 10.0), counts=jnp.full((2, 6), 20.0))
    assert float(balance_loss(sums, BatchRouting(sums.counts, jnp.float32(60)))) == pytest.approx(2)


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_and_gradients_are_those_of_transformers(name, mesh, tmp_path):
    torch, transformers = (pytest.importorskip(name) for name in ("torch", "transformers"))

    model, batch = model_of(name, 1), ragged_batch()
    save_huggingface(tmp_path, model, scaled_params(model, scale=0.3), "float32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager", dtype="float32"
    )
    ids, mask = torch.from_numpy(batch.tokens).long(), torch.from_numpy(batch.segment_ids)
    labels = ids.masked_fill(torch.from_numpy(batch.weights == 0), -100)
    output = theirs(input_ids=ids, attention_mask=mask, labels=labels, output_router_logits=True)
    output.loss.backward()

    loss, gradients, balance = measured(model, batch, mesh(1, 1))
    np.testing.assert_allclose((loss, balance), (output.loss.item(), output.aux_loss.item()), rtol=1e-5)
    (tmp_path / "gradients").mkdir()
    save_huggingface(tmp_path / "gradients", model, gradients, "float32")
    ours = load_file(tmp_path / "gradients/model.safetensors")
    named = {tensor.replace("block_sparse_moe", "mlp"): gradient for tensor, gradient in ours.items()}
    shared = {tensor: each.grad.numpy() for tensor, each in theirs.named_parameters() if tensor in named}
    assert {"model.layers.0.mlp.gate.weight", "model.embed_tokens.weight"} <= shared.keys()
    for tensor, gradient in shared.items():
        assert np.linalg.norm(named[tensor] - gradient) <= 1e-4 * np.linalg.norm(gradient), tensor
    router = measured(model, batch, mesh(1, 1), coefficient=0.0)[1]["layers"]["mlp"]["router"][0].T
    gradient = shared["model.layers.0.mlp.gate.weight"]
    assert np.linalg.norm(router - gradient) > 1e-2 * np.linalg.norm(gradient), "the loss is not felt"


def test_of_several_layers_it_is_the_mean_of_what_transformers_gives_each(mesh, tmp_path):
    torch, transformers = (pytest.importorskip(name) for name in ("torch", "transformers"))
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    model, batch = model_of("mixtral", 3), ragged_batch()
    save_huggingface(tmp_path, model, scaled_params(model, scale=0.3), "float32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager", dtype="float32"
    )
    mask = torch.from_numpy(batch.segment_ids)
    output = theirs(torch.from_numpy(batch.tokens).long(), attention_mask=mask, output_router_logits=True)
    each = [load_balancing_loss_func((layer,), 4, 2, mask).item() for layer in output.router_logits]
    assert np.std(each) > 1e-2
    np.testing.assert_allclose(measured(model, batch, mesh(1, 1))[2], np.mean(each), rtol=1e-5)


@pytest.fixture(scope="module")
def whole():
    return measured(model_of("mixtral", 2), ragged_batch(), build_mesh(1, 1, 1))


CUTS = [(rows, (1, 1)) for rows in (1, 2, 4)] + [(8, (2, 1)), (8, (2, 4)), (4, (1, 4))]


@pytest.mark.parametrize(("rows", "shape"), CUTS)
def test_micro_batches_and_devices_give_one_loss(whole, mesh, rows, shape):
    assert_equal(measured(model_of("mixtral", 2), ragged_batch(), mesh(*shape), rows=rows), whole)


def test_twin_counts_of_each_half_by_itself(whole, mesh):
    """Shares that are counted over a part of the batch make another loss."""
    batch, parts = ragged_batch(), []
    for rows in (slice(0, 4), slice(4, 8)):
        part = jax.tree.map(lambda array, rows=rows: array[rows], batch)
        share = np.sum(part.segment_ids > 0) / np.sum(batch.segment_ids > 0)
        loss, gradients, balance = measured(model_of("mixtral", 2), part, mesh(1, 1))
        without = measured(model_of("mixtral", 2), part, mesh(1, 1), coefficient=0.0)
        pair = zip(jax.tree.leaves(gradients), jax.tree.leaves(without[1]), strict=True)
        parts.append((loss, [w + share * (g - w) for g, w in pair], share * balance))
    summed_up = jax.tree.map(lambda *each: sum(each), *parts)
    with pytest.raises(AssertionError):
        assert_equal(summed_up, whole)


def test_training_with_it_balances_the_experts(make_training, batch_of):
    """A coefficient that is not felt only measures how they are taken."""
    model, losses = model_of("mixtral", 2), {}
    for coefficient in (1.0, 1e-6):
        training = make_training(
            model=model, optimizer=AdamW(learning_rate=1e-2), balance_coefficient=coefficient
        )
        for step in range(20):
            total, count = training.step(batch_of(seed=step % 4), cross_entropy).statistics[
                "train/balance_loss"
            ]
            losses.setdefault(coefficient, []).append(float(total / count))
    balanced, measured_alone = (np.mean(each[-4:]) for each in losses.values())
    assert losses[1.0][0] == losses[1e-6][0]
    assert balanced < 2.05 < 2.15 < measured_alone


@pytest.mark.fast
def test_the_coefficient_is_that_of_a_config_that_asks_for_it():
    dense, sparse = tiny_qwen2(VOCAB), model_of("mixtral", 1)
    quiet = Mixtral().build(
        FamilyContext(hf_config={**sparse.hf_config, "output_router_logits": False, "num_hidden_layers": 1})
    )
    assert coefficient_of("auto", sparse) == coefficient_of("auto", scalar_head(sparse)) == COEFFICIENT
    assert coefficient_of("auto", quiet) == coefficient_of("auto", dense) == coefficient_of(0.0, dense) == 0
    assert coefficient_of(0.1, quiet) == 0.1


@pytest.mark.fast
def test_a_model_without_experts_has_none():
    component, mesh = JaxTraining(balance_coefficient=0.1), MeshConfig()
    with pytest.raises(ConfigError, match=r"^balance_coefficient=0\.1: the model has no experts") as caught:
        component.check(4, mesh, lambda: tiny_qwen2(VOCAB))
    assert str(caught.value).endswith("leave it at auto, or 0")
    for legal in ("auto", 0.0):
        JaxTraining(balance_coefficient=legal).check(4, mesh, lambda: tiny_qwen2(VOCAB))
    component.check(4, mesh, lambda: model_of("mixtral", 1))
