"""Supervised fine-tuning in one file: the loop of the `sft` stage without configs, runs or checkpoints.

A tiny Qwen2 imitates demonstrations of a sum's last digit. `uv run examples/sft_loop.py [steps]` takes half a
minute on two cores; its accuracy is about the accuracy of `uv run train stage=sft`.
"""

import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from burnish.llm import AutoTokenizer, ModelContext, Tiny, linear_logprobs
from burnish.platform import DataContext, resolve

ROWS, LENGTH, MAX_NEW_TOKENS, NUM_PROBLEMS = 64, 24, 12, 256

data = resolve("data", "arithmetic")()
bundle = Tiny().build(ModelContext(tokenizer=AutoTokenizer(), seed=0))
model, tokenizer = bundle.model, bundle.tokenizer
END, PAD = tokenizer.eos_token_ids[0], tokenizer.pad_token_id


def batches(seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield tokens [b t] and the mask [b t] of what is learned: the completion and the end after it."""
    demonstrations = data.build(DataContext(split="demonstrations"))
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(len(demonstrations))
        for rows in order[: len(order) // ROWS * ROWS].reshape(-1, ROWS):
            tokens, mask = np.full((ROWS, LENGTH), PAD, np.int32), np.zeros((ROWS, LENGTH), np.float32)
            for row, index in enumerate(rows):
                prompt = tokenizer.encode(demonstrations[int(index)]["prompt"])
                completion = [*tokenizer.encode(demonstrations[int(index)]["completion"]), END]
                tokens[row, : len(prompt) + len(completion)] = prompt + completion
                mask[row, len(prompt) : len(prompt) + len(completion)] = 1
            yield tokens, mask


def hidden_states(params: dict, tokens_bt: jax.Array) -> jax.Array:
    """Run the model over right-padded rows; positions count from the left, segment 0 is padding."""
    positions = jnp.broadcast_to(jnp.arange(tokens_bt.shape[1]), tokens_bt.shape)
    return model.forward(params, tokens_bt, positions, (tokens_bt != PAD).astype(jnp.int32)).hidden


def loss(params: dict, tokens_bt: jax.Array, mask_bt: jax.Array) -> jax.Array:
    """Return the mean of -log p(token | what precedes it) over the learned tokens of the batch."""
    hidden = hidden_states(params, tokens_bt)
    logprobs = linear_logprobs(hidden[:, :-1], model.head(params), tokens_bt[:, 1:]).logprob
    return -jnp.sum(logprobs * mask_bt[:, 1:]) / jnp.sum(mask_bt)


def decayed(params: dict) -> dict:
    """Return which parameters decay: all but norms and biases."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: not any(word in jax.tree_util.keystr(path) for word in ("norm", "bias")), params
    )


@jax.jit
def complete(params: dict, tokens_bt: jax.Array, prompt_length: int) -> jax.Array:
    """Complete every row greedily, one whole forward pass per token: slow, and plainly right."""

    def extend(t: jax.Array, tokens_bt: jax.Array) -> jax.Array:
        logits_bv = model.head(params).logits(hidden_states(params, tokens_bt)[:, t - 1])
        return tokens_bt.at[:, t].set(jnp.argmax(logits_bv, axis=-1))

    return jax.lax.fori_loop(prompt_length, prompt_length + MAX_NEW_TOKENS, extend, tokens_bt)


def accuracy(params: dict) -> float:
    """Return the share of held-out problems whose answer, after the last `#`, is right."""
    problems = [data.build(DataContext(split="test"))[index] for index in range(NUM_PROBLEMS)]
    prompts = np.array([tokenizer.encode(problem["prompt"]) for problem in problems], np.int32)
    padded = np.pad(prompts, ((0, 0), (0, MAX_NEW_TOKENS)), constant_values=PAD)
    completed = np.asarray(complete(params, jnp.asarray(padded), prompts.shape[1]))[:, prompts.shape[1] :]
    texts = [
        tokenizer.decode(row[: (*np.flatnonzero(row == END), len(row))[0]].tolist()) for row in completed
    ]
    right = [
        text.rpartition("#")[2] == problem["answer"] for text, problem in zip(texts, problems, strict=True)
    ]
    return float(np.mean(right))


def main(steps: int = 700) -> dict:
    """Train for `steps` optimizer steps, print loss and accuracy, and return the parameters."""
    params = jax.device_put(bundle.load(model.abstract("float32")))
    schedule = optax.join_schedules(
        [optax.linear_schedule(0.0, 3e-3, 30), optax.linear_schedule(3e-3, 0.0, steps // 2, steps // 2 - 30)],
        [30],
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b2=0.99, weight_decay=0.01, mask=decayed),
    )
    state = optimizer.init(params)

    @jax.jit
    def update(params, state, tokens_bt, mask_bt):
        value, gradients = jax.value_and_grad(loss)(params, tokens_bt, mask_bt)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    print(f"before training: accuracy {accuracy(params):.3f}")
    for step, (tokens, mask) in zip(range(1, steps + 1), batches(), strict=False):
        params, state, value = update(params, state, tokens, mask)
        if step % 100 == 0 or step == steps:
            print(f"step {step}: loss {float(value):.3f}")
    print(f"after {steps} steps of SFT: accuracy {accuracy(params):.3f}")
    return params


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
