"""burnish: its training backend and its in-process engine, built from their components as a stage does.

Host memory is kept and the model computed as a run with `model=pretrained` does by default.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from measurement import Measurement, main, time_calls, warm_up
from workloads import Generation, Model, Training, Workload

from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy
from burnish.llm.packing import best_fit
from burnish.llm.placement import place_params
from burnish.llm.sequence import Sample, make_sample
from burnish.llm.training import TrainingContext
from burnish.llm.versioned_weights import Weights
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.compiles import CompileCounter
from burnish.platform.device.host_memory import keep_freed_memory
from burnish.platform.device.memory import peak_memory_bytes
from burnish.platform.device.mesh import build_mesh
from burnish.sample.config.engine import InProcess
from burnish.sample.engine import EngineContext, EngineLimits
from burnish.sample.request import Request


@dataclass(frozen=True)
class NoEndOfSequence:
    """What the engine reads of a tokenizer, with no token that ends a completion."""

    eos_token_ids: tuple[int, ...] = ()


def measure(model: Model, workload: Workload) -> Measurement:
    """Return what this process sees of the workload."""
    if JaxConfig().keep_host_memory:
        keep_freed_memory()
    counter = CompileCounter()
    call = _training(model, workload) if isinstance(workload, Training) else _generation(model, workload)
    warm_up(call, workload)
    before = counter.read()
    timing = time_calls(call, workload)
    timed = counter.read()
    return Measurement(
        timing=timing,
        compile_seconds=before.seconds + timed.seconds,
        compiles=before.programs + timed.programs,
        compiles_while_timed=timed.programs,
        peak_bytes=peak_memory_bytes(),
        device=jax.devices()[0].device_kind,
        versions={
            name: importlib.metadata.version(name) for name in ("burnish-llm", "burnish-sample", "jax")
        },
    )


def _training(model: Model, workload: Training) -> Callable[[int], None]:
    compute = Compute(remat="full" if workload.remat else "none")
    causal_lm = Qwen2().build(FamilyContext(hf_config=model.hf_config, compute=compute))
    training = JaxTraining().build(
        TrainingContext(
            model=causal_lm,
            load=lambda like: place_params(causal_lm.init(0), like),
            optimizer=AdamW(learning_rate=1e-5, schedule="constant"),
            total_steps=workload.num_calls,
            mesh=build_mesh(),
            jax=JaxConfig(param_dtype=model.dtype, compute_dtype=model.dtype),
        )
    )
    batches = _batches(model, workload)

    def step(index: int) -> None:
        computed = training.step(batches[index], cross_entropy)
        jax.block_until_ready((computed, training.weights().tree))

    return step


def _batches(model: Model, workload: Training) -> list[TokenBatch]:
    """Return the batches of all steps, of one shape: a text a row where all are full, else packed.

    Texts of all steps are packed together, as a data set is, and each step has an equal share of the rows.
    """
    num_steps = workload.num_calls
    texts = [text for index in range(num_steps) for text in _texts(model, workload, index)]
    rows = [[texts[i] for i in row] for row in best_fit([len(text) for text in texts], workload.length)]
    shape = {"num_rows": -(-len(rows) // num_steps), "max_sequences": max(map(len, rows))}
    steps = [rows[index::num_steps] for index in range(num_steps)]
    return [make_batch(each, length=workload.length, pad_token_id=0, **shape) for each in steps]


def _texts(model: Model, workload: Training, index: int) -> list[Sample]:
    generator = np.random.default_rng(index)
    drawn = [
        generator.integers(model.vocab_size, size=size, dtype=np.int32) for size in workload.lengths(index)
    ]
    return [make_sample(tokens[:1], tokens[1:]) for tokens in drawn]


def _generation(model: Model, workload: Generation) -> Callable[[int], None]:
    causal_lm = Qwen2().build(FamilyContext(hf_config=model.hf_config))
    options = InProcess(
        slots=workload.num_sequences,
        prefill_rows=workload.num_prompts,
        prefill_tokens=workload.prompt_tokens,
        decode_steps=workload.new_tokens,
    )
    engine = options.build(
        EngineContext(
            model=causal_lm,
            tokenizer=NoEndOfSequence(),
            mesh=build_mesh(),
            limits=EngineLimits(max_tokens=workload.prompt_tokens + workload.new_tokens),
            jax=JaxConfig(compute_dtype=model.dtype),
        )
    )
    engine.update_weights(Weights(0, causal_lm.init(0)))

    def generate(index: int) -> None:
        completions = engine.generate(_requests(model, workload, index))
        assert sum(len(completion.tokens) for completion in completions) == workload.num_tokens

    return generate


def _requests(model: Model, workload: Generation, index: int) -> list[Request]:
    shape = (workload.num_prompts, workload.prompt_tokens)
    prompts = np.random.default_rng(index).integers(model.vocab_size, size=shape, dtype=np.int32).tolist()
    return [
        Request(
            id=number,
            prompt_tokens=prompts[number // workload.samples_per_prompt],
            max_new_tokens=workload.new_tokens,
            key_words=(0, 0, index, 0, number),
        )
        for number in range(workload.num_sequences)
    ]


if __name__ == "__main__":
    main(measure)
