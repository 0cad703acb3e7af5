"""What is compiled for arrays that nobody has made is the program that a backend runs."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch
from burnish.llm.config.lora import LoRA
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.footprint import human_bytes
from burnish.llm.objective import cross_entropy
from burnish.llm.parameter_plan import memory_of, planned_parameters, state_on_a_device
from burnish.llm.placement import place_params
from burnish.llm.step_compilation import lowered_step
from burnish.llm.train_step import compiled_step, hyper_names
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.config import JaxConfig

CASES = {
    "default": (JaxTraining(), (1, 1), ("float32", "float32")),
    "micro-batches": (JaxTraining(micro_batch_rows=4), (1, 2), ("float32", "bfloat16")),
    "average": (JaxTraining(ema_decay=0.9, frozen=("layers/mlp",)), (1, 2, 2), ("bfloat16", "bfloat16")),
    "rows": (JaxTraining(trainable_rows={"embed": 40}), (2, 1), ("float32", "float32")),
    "lora": (LoRA(rank=4), (1, 4), ("float32", "bfloat16")),
}


@pytest.fixture
def context_of(model, mesh, scaled_params):
    def make(shape, dtypes):
        return TrainingContext(
            model=model,
            load=lambda like: place_params(scaled_params(model), like),
            optimizer=AdamW(),
            total_steps=5,
            mesh=mesh(*shape),
            jax=JaxConfig(param_dtype=dtypes[0], compute_dtype=dtypes[1]),
        )

    return make


def program_of(component, context, num_rows):
    return component.settings(context).program(component.layout(context), cross_entropy, num_rows)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_planned_program_is_the_one_that_runs(context_of, batch_of, case):
    component, shape, dtypes = case
    context, batch = context_of(shape, dtypes), batch_of()
    training, program = component.build(context), program_of(component, context, 8)
    placed = training._place(batch, cross_entropy, (0, 0, 0, 0, 0))
    given = dict.fromkeys(hyper_names(program.layout), np.float32(0))
    runs = compiled_step(program).lower(training._state, training._weights, placed, given)
    like = TokenBatch.like(num_rows=8, length=batch.tokens.shape[1])
    assert lowered_step(program, like).as_text() == runs.as_text()
    longer = TokenBatch.like(num_rows=8, length=batch.tokens.shape[1] + 1)
    assert lowered_step(program, longer).as_text() != runs.as_text(), "a twin of another length"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_planned_bytes_are_those_on_a_device(context_of, case):
    component, shape, dtypes = case
    context = context_of(shape, dtypes)
    training, layout = component.build(context), component.layout(context)
    first = jax.devices()[0]

    def held(tree):
        shards = [shard for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards]
        return sum(shard.data.nbytes for shard in shards if shard.device == first)

    assert state_on_a_device(layout) == human_bytes(held(training._state))
    whole = layout.whole(*training._weights)
    for planned, leaf in zip(planned_parameters(layout), jax.tree.leaves(whole), strict=True):
        assert planned.on_a_device == human_bytes(held(leaf))
        assert planned.whole == human_bytes(leaf.nbytes)
        assert (planned.split == "no") == leaf.sharding.is_fully_replicated


def test_what_nothing_divides_is_told(context_of):
    layout = JaxTraining().layout(context_of((1, 1, 8), ("float32", "float32")))
    told = {each.path: each for each in planned_parameters(layout)}
    assert told["layers/attention/key"].why_whole == "kv_heads 2 over tp 8"
    assert told["layers/attention/key"].split == "no"
    assert told["layers/mlp/up"].split == "mlp over tp"
    assert told["layers/mlp/up"].why_whole == ""
    one = JaxTraining().layout(context_of((1, 1, 1), ("float32", "float32")))
    assert not any(each.why_whole for each in planned_parameters(one))


def test_memory_of_a_step_is_what_the_compiler_says(context_of):
    context, like = context_of((1, 1), ("float32", "float32")), TokenBatch.like(num_rows=8, length=12)
    compiled = JaxTraining().compiled(context, like, cross_entropy)
    memory = compiled.memory_analysis()
    parts = (
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
    )
    told = memory_of(compiled)["a step on a device"]
    assert told.startswith(f"{human_bytes(sum(parts))}: {human_bytes(parts[0])} state")
    longer = replace(context, total_steps=6)
    more = JaxTraining().compiled(longer, TokenBatch.like(num_rows=64, length=12), cross_entropy)
    assert more.memory_analysis().temp_size_in_bytes > 4 * memory.temp_size_in_bytes
