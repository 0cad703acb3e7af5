"""Layers with experts on several devices, each of which sorts its own tokens: the numbers of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.config.family import Mixtral, Qwen3MoE
from burnish.llm.config.lora import LoRA
from burnish.llm.config.optimizer import SGD
from burnish.llm.families import experts
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.micro_batches import place
from burnish.llm.objective import cross_entropy
from burnish.llm.sharding import parameter_shardings
from burnish.llm.testing import scaled_params, tiny_qwen2_config
from burnish.llm.testing_scores import assert_same_scores, laid_out, score
from burnish.platform.device.mesh import build_mesh

COMMON = tiny_qwen2_config(vocab_size=64, hidden_size=32, intermediate_size=24) | {
    "head_dim": 8,
    "moe_intermediate_size": 24,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}
FAMILIES = {
    "mixtral": (Mixtral(), {"model_type": "mixtral", "num_local_experts": 4}),
    "qwen3_moe": (Qwen3MoE(), {"model_type": "qwen3_moe", "num_experts": 6}),
}
MESHES = [(1, 2, 1), (1, 1, 4), (1, 8, 1), (8, 1, 1), (1, 2, 2)]
"""Sizes of `dp`, `fsdp` and `tp`, beside those of `ModelFamilyTests`."""


def model_of(name, **compute):
    family, own = FAMILIES[name]
    return family.build(FamilyContext(hf_config={**COMMON, **own}, compute=Compute(**compute)))


@pytest.fixture(scope="module", params=FAMILIES)
def scored(request):
    """The name of a family, parameters of its model, and loss, logprobs and gradients on one device."""
    model = model_of(request.param)
    params = scaled_params(model, scale=0.3)
    return request.param, params, score(model, params, laid_out())


def scores_over(model, params, shape):
    devices = build_mesh(*shape)
    placed = jax.device_put(params, parameter_shardings(model, devices))
    return score(model, placed, place(laid_out(), devices), mesh=devices)


@pytest.mark.parametrize("shape", MESHES, ids=str)
def test_losses_and_gradients_over_devices_are_those_of_one(scored, shape):
    name, params, expected = scored
    assert_same_scores(scores_over(model_of(name), params, shape), expected)


def test_losses_and_gradients_over_devices_do_not_depend_on_what_is_computed_again(scored):
    name, params, expected = scored
    assert_same_scores(scores_over(model_of(name, remat="dots"), params, (1, 2, 2)), expected)


def test_twin_gradients_of_one_device_alone_are_others(scored, monkeypatch):
    """What is held back on all devices but the first, loss and logprobs do not show."""
    name, params, expected = scored
    whole = experts.each_on_its_rows

    def unsummed(function, rows, *weights):
        def on_first(rows, *weights):
            is_first = jax.lax.axis_index("fsdp") == 0
            held = [jnp.where(is_first, each, jax.lax.stop_gradient(each)) for each in weights]
            return function(rows, *held)

        return whole(on_first, rows, *weights)

    monkeypatch.setattr(experts, "each_on_its_rows", unsummed)
    # Another model, lest the program that is compiled for this one be taken.
    found = scores_over(model_of(name, unroll=7), params, (1, 2, 1))
    assert_same_scores((*found[:2], expected[2]), expected)
    with pytest.raises(AssertionError):
        assert_same_scores(found, expected)


@pytest.mark.parametrize("shape", [(1, 4), (2, 2, 2)], ids=str)
@pytest.mark.parametrize(("name", "dora"), [("mixtral", False), ("qwen3_moe", True)])
def test_updates_of_experts_over_devices_are_those_of_one(make_training, batch_of, name, shape, dora):
    alone, spread = (
        make_training(
            mesh_shape,
            component=LoRA,
            model=model_of(name),
            optimizer=SGD(learning_rate=0.1),
            targets=("layers/mlp", "layers/attention/query"),
            dora=dora,
            rank=4,
            alpha=8.0,
        )
        for mesh_shape in ((1, 1), shape)
    )
    for seed in range(2):
        steps = [each.step(batch_of(seed), cross_entropy).statistics for each in (alone, spread)]
        np.testing.assert_allclose(*(statistics["train/loss"][0] for statistics in steps), rtol=1e-5)
    trees = [jax.tree.map(np.array, each.save_state().trees["adapters"]) for each in (alone, spread)]
    assert {"gate", "up", "down"} <= trees[0]["layers"]["mlp"].keys()
    for expected, found in zip(*map(jax.tree.leaves, trees), strict=True):
        assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)
