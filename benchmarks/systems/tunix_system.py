"""Tunix: the compiled step of its `PeftTrainer` over all parameters, on rows padded to full length."""

import importlib.metadata
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from measurement import Measurement, main, peak_process_bytes, time_calls, warm_up
from tunix.models.qwen2 import model as qwen2
from tunix.sft.peft_trainer import PeftTrainer, TrainingConfig, TrainingInput
from workloads import Model, Training, Workload

MAX_GRAD_NORM = 1.0
_COMPILE = "/jax/core/compile/backend_compile_duration"


def measure(model: Model, workload: Workload) -> Measurement:
    """Return what this process sees of the workload."""
    compiles: list[float] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event == _COMPILE:
            compiles.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    assert isinstance(workload, Training)
    call = _training(model, workload)
    warm_up(call, workload)
    before = len(compiles)
    timing = time_calls(call, workload)
    device = jax.devices()[0]
    statistics = device.memory_stats()
    return Measurement(
        timing=timing,
        compile_seconds=sum(compiles),
        compiles=len(compiles),
        compiles_while_timed=len(compiles) - before,
        peak_bytes=statistics["peak_bytes_in_use"] if statistics else peak_process_bytes(),
        device=device.device_kind,
        versions={name: importlib.metadata.version(name) for name in ("google-tunix", "jax", "flax")},
    )


def _training(model: Model, workload: Training) -> Callable[[int], None]:
    module = qwen2.Qwen2(_config(model, workload), rngs=nnx.Rngs(0))
    optimizer = optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.adamw(1e-5, weight_decay=0.0))
    trainer = PeftTrainer(module, optimizer, TrainingConfig(eval_every_n_steps=workload.num_calls + 1))
    trainer.with_gen_model_input_fn(_inputs)
    train_step, _ = trainer.jit_train_and_eval_step(cache_nnx_graph=True)
    batches = [_padded(model, workload, index) for index in range(workload.num_calls)]

    def step(index: int) -> None:
        computed = train_step(batches[index])
        jax.block_until_ready((computed, nnx.state(module, nnx.Param)))

    return step


def _config(model: Model, workload: Training) -> qwen2.ModelConfig:
    dtype = jnp.dtype(model.dtype)
    return qwen2.ModelConfig(
        num_layers=model.num_layers,
        vocab_size=model.vocab_size,
        embed_dim=model.hidden_size,
        hidden_dim=model.intermediate_size,
        num_heads=model.num_heads,
        head_dim=model.hidden_size // model.num_heads,
        num_kv_heads=model.num_kv_heads,
        rope_theta=1_000_000,
        norm_eps=1e-6,
        use_tied_embedding=True,
        remat_config=qwen2.RematConfig.DECODER if workload.remat else qwen2.RematConfig.NONE,
        dtype=dtype,
        param_dtype=dtype,
    )


def _padded(model: Model, workload: Training, index: int) -> TrainingInput:
    """Return the texts of a step; every step has one shape, or each would be compiled."""
    shape = (workload.rows, workload.length)
    tokens = np.random.default_rng(index).integers(model.vocab_size, size=shape, dtype=np.int32)
    is_text = np.arange(workload.length)[None] < np.array(workload.lengths(index))[:, None]
    return TrainingInput(input_tokens=tokens, input_mask=is_text)


def _inputs(batch: TrainingInput) -> dict[str, jax.Array]:
    """Return what the model and the loss of Tunix read; a token sees what is before it in its text."""
    rows, length = batch.input_tokens.shape
    causal = jnp.tril(jnp.ones((length, length), bool))[None]
    return {
        "input_tokens": jnp.asarray(batch.input_tokens),
        "input_mask": jnp.asarray(batch.input_mask),
        "positions": jnp.tile(jnp.arange(length)[None], (rows, 1)),
        "attention_mask": causal & jnp.asarray(batch.input_mask)[:, None, :],
    }


if __name__ == "__main__":
    main(measure)
