"""The estimate of what a stage computes, against the compiler's own count and by hand."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch
from burnish.llm.config.family import Qwen2, Qwen3, Qwen3MoE
from burnish.llm.config.lora import LoRA
from burnish.llm.config.optimizer import SGD
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy
from burnish.llm.training import TrainingContext
from burnish.llm.work import forward_flops, update_flops, work_plan
from burnish.platform.configuration.config import JaxConfig

ROWS, LENGTH = 3, 40


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def model(hf_config, request):
    config = {**hf_config, "tie_word_embeddings": request.param, "hidden_size": 64, "intermediate_size": 192}
    return Qwen2().build(FamilyContext(hf_config=config, compute=Compute(unroll=2)))


def counted(model):
    """Return what XLA counts of a whole forward pass with all logits; every token attends to every other."""

    def logits(params, tokens, positions, segments):
        hidden = model.forward(params, tokens, positions, segments).hidden
        return model.head(params).logits(hidden)

    tokens = np.zeros((ROWS, LENGTH), np.int32)
    positions = np.tile(np.arange(LENGTH, dtype=np.int32), (ROWS, 1))
    compiled = jax.jit(logits).lower(model.abstract("float32"), tokens, positions, tokens + 1).compile()
    return compiled.cost_analysis()["flops"]


def test_forward_flops_are_the_compilers_but_for_what_is_no_matrix_product(model):
    estimate = forward_flops(model, ROWS * LENGTH, LENGTH)
    assert estimate == pytest.approx(counted(model), rel=0.1)
    assert forward_flops(model, 2 * ROWS * LENGTH, LENGTH) == 2 * estimate


def test_forward_flops_by_hand(model):
    """Two layers of queries, keys, values, output and three matrices, and the head; biases beside."""
    layer = 64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 192
    matrices = 2 * layer + 61 * 64
    assert forward_flops(model, 1, 0) == pytest.approx(2 * matrices, rel=0.02)
    assert forward_flops(model, 1, 10) - forward_flops(model, 1, 0) == 4 * 2 * 64 * 10


@pytest.mark.parametrize("num_taken", [1, 3])
@pytest.mark.parametrize("num_experts", [4, 8])
def test_a_token_is_multiplied_with_the_experts_that_it_takes(hf_config, num_experts, num_taken):
    """As with one MLP as wide as these together, and with the routers of two layers."""
    config = {**hf_config, "head_dim": 8, "hidden_size": 32}
    sparse = Qwen3MoE().build(
        FamilyContext(
            hf_config={
                **config,
                "model_type": "qwen3_moe",
                "moe_intermediate_size": 24,
                "num_experts": num_experts,
                "num_experts_per_tok": num_taken,
            }
        )
    )
    dense = Qwen3().build(
        FamilyContext(hf_config={**config, "model_type": "qwen3", "intermediate_size": 24 * num_taken})
    )
    routers = 2 * 32 * num_experts
    assert forward_flops(sparse, 5, 7) == forward_flops(dense, 5, 7) + 5 * 2 * routers


@pytest.fixture
def context(model, mesh):
    return TrainingContext(
        model=model, load=lambda _: None, optimizer=SGD(), total_steps=1, mesh=mesh(), jax=JaxConfig()
    )


def test_an_update_is_three_forward_passes_over_all_its_rows(model, context):
    like = TokenBatch.like(num_rows=4, length=8)
    assert update_flops(JaxTraining(), context, like) == 3 * forward_flops(model, 32, 4)
    assert update_flops(SimpleNamespace(), context, like) == 3 * forward_flops(model, 32, 4)


@pytest.mark.parametrize(
    ("training", "is_full"),
    [(JaxTraining(), True), (JaxTraining(frozen=("layers",)), False), (LoRA(rank=2), False)],
    ids=["all", "layers frozen", "lora"],
)
def test_an_update_is_what_the_compiler_counts(context, model, training, is_full):
    """Within a fifth, for norms, softmax and the optimizer are none of it."""
    like = TokenBatch.like(num_rows=8, length=64)
    counted = training.compiled(context, like, cross_entropy).cost_analysis()["flops"]
    assert update_flops(training, context, like) == pytest.approx(counted, rel=0.2)
    assert (3 * forward_flops(model, 8 * 64, 32) == pytest.approx(counted, rel=0.2)) == is_full


def test_a_plan_gives_steps_and_shares_of_the_whole():
    assert work_plan({"rollout": 1e9, "update": 3e9}, 10, 1e10) == {
        "FLOPs per step (estimate)": "rollout 1e+09 + update 3e+09",
        "FLOPs of the stage (estimate)": "5e+10: rollout 20%, update 60%, evaluation 20%",
    }
    assert work_plan({}, 0, 2e9) == {"FLOPs of the stage (estimate)": "2e+09: evaluation 100%"}
