"""A training loop of one's own in one file, on the verbs of a training backend and nothing else.

A tiny model learns sums by an objective that is written here, in two halves per step so that gradients of
several batches add up; results are read one step late, so that the device never waits for the host.
`uv run examples/training_loop.py [steps]` takes a quarter of a minute on two cores.
"""

import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from burnish.llm import (
    AutoTokenizer,
    JaxTraining,
    ModelContext,
    Policy,
    Sample,
    Tiny,
    TokenBatch,
    TrainingContext,
    make_batch,
    make_sample,
)
from burnish.platform import DataContext, resolve

ROWS, LENGTH, HALVES = 32, 24, 2

bundle = Tiny().build(ModelContext(tokenizer=AutoTokenizer(), seed=0))
tokenizer = bundle.tokenizer


def samples(seed: int = 0) -> Iterator[Sample]:
    """Yield demonstrations for ever, each trained on its completion and the end after it."""
    records = resolve("data", "arithmetic")().build(DataContext(split="demonstrations"))
    random = np.random.default_rng(seed)
    while True:
        record = records[int(random.integers(len(records)))]
        completion = [*tokenizer.encode(record["completion"]), tokenizer.eos_token_ids[0]]
        yield make_sample(tokenizer.encode(record["prompt"]), completion)


def focal(policy: Policy, batch: TokenBatch) -> tuple[jax.Array, dict]:
    """Return (1 - p) * -log p of each token: what the model knows already counts less."""
    logprobs = policy.logprobs()
    certain = jnp.exp(jax.lax.stop_gradient(logprobs))
    return (certain - 1) * logprobs, {"certainty": (jnp.sum(certain * batch.trained), jnp.sum(batch.trained))}


def main(steps: int = 150) -> list[float]:
    """Train for `steps` optimizer steps, and return how certain each was of the right token."""
    training = JaxTraining(max_grad_norm=1.0).build(
        TrainingContext(
            model=bundle.model,
            load=bundle.load,
            optimizer=resolve("optimizer", "adamw")(learning_rate=3e-3, warmup_steps=10),
            total_steps=steps,
            mesh=Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), ("dp", "fsdp", "tp")),
        )
    )
    stream, certainty, before = samples(), [], None
    for step in range(1, steps + 1):
        for _ in range(HALVES):
            rows = [next(stream) for _ in range(ROWS)]
            batch = make_batch(rows, num_rows=ROWS, length=LENGTH, pad_token_id=tokenizer.pad_token_id)
            computed = training.forward_backward(batch, focal)
        training.optim_step()
        for ready in (each for each in (before, computed if step == steps else None) if each is not None):
            total, count = ready.result().statistics["train/certainty"]
            certainty.append(float(total / count))
        before = computed
        if step % 50 == 0:
            print(f"step {step}: {certainty[-1]:.3f} certain of the right token")
    return certainty


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
