"""Reinforcement learning in one file: the loop of the `rl` stage without configs, runs or checkpoints.

GRPO on the model that `sft_loop.py` trains: sample a group of completions for each prompt, reward a right
final answer, compare within the group, update. `uv run examples/rl_loop.py [sft_steps] [rl_steps]` takes a
minute on two cores. Sampling is burnish's engine; everything that RL adds is on this page.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from sft_loop import END, LENGTH, MAX_NEW_TOKENS, PAD, accuracy, data, hidden_states, model, tokenizer
from sft_loop import main as train_sft

from burnish.llm import Weights, linear_logprobs
from burnish.platform import DataContext
from burnish.sample import Completion, EngineContext, EngineLimits, InProcess, Request

PROMPTS, GROUP, UPDATES, CLIP = 32, 8, 4, 0.2

engine = InProcess().build(
    EngineContext(
        model=model,
        tokenizer=tokenizer,
        mesh=Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), ("dp", "fsdp", "tp")),
        limits=EngineLimits(max_tokens=LENGTH),
    )
)


def roll_out(problems: list, step: int) -> list[Completion]:
    """Sample `GROUP` completions of every problem; completion i of a step draws from a key of its own."""
    requests = [
        Request(
            id=i,
            prompt_tokens=tokenizer.encode(problems[i // GROUP]["prompt"]),
            max_new_tokens=MAX_NEW_TOKENS,
            key_words=(0, 1, step, 2, i),  # seed, stage, step, purpose, id
        )
        for i in range(len(problems) * GROUP)
    ]
    return engine.generate(requests)


def reward(problem: dict, completion: Completion) -> float:
    """Return 1 when what follows the last `#` is the answer."""
    return float(tokenizer.decode(completion.tokens.tolist()).rpartition("#")[2] == problem["answer"])


def group_advantages(rewards_pg: np.ndarray) -> np.ndarray:
    """Return (r - mean) / std within each group: GRPO, https://arxiv.org/abs/2402.03300."""
    centered = rewards_pg - rewards_pg.mean(axis=1, keepdims=True)
    return centered / (rewards_pg.std(axis=1, ddof=1, keepdims=True) + 1e-6)


def rows_of(problems: list, completions: list[Completion], advantages: np.ndarray) -> dict[str, np.ndarray]:
    """Lay prompts and completions out as right-padded rows with one column per thing the loss reads."""
    shape = (len(completions), LENGTH)
    rows = {"tokens": np.full(shape, PAD, np.int32)}
    rows |= {name: np.zeros(shape, np.float32) for name in ("mask", "advantages", "behavior_logprobs")}
    for i, completion in enumerate(completions):
        prompt = tokenizer.encode(problems[i // GROUP]["prompt"])
        written = slice(len(prompt), len(prompt) + len(completion.tokens))
        rows["tokens"][i, : written.stop] = [*prompt, *completion.tokens]
        rows["mask"][i, written] = 1
        rows["advantages"][i, written] = advantages[i]
        rows["behavior_logprobs"][i, written] = completion.logprobs
    return rows


def loss(params: dict, rows: dict[str, jax.Array]) -> jax.Array:
    """Return PPO's clipped surrogate, averaged over the completion tokens of the batch."""
    hidden = hidden_states(params, rows["tokens"])
    logprobs = linear_logprobs(hidden[:, :-1], model.head(params), rows["tokens"][:, 1:]).logprob
    mask, advantages = rows["mask"][:, 1:], rows["advantages"][:, 1:]
    ratio = jnp.exp((logprobs - rows["behavior_logprobs"][:, 1:]) * mask)
    clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
    return -jnp.sum(jnp.minimum(ratio * advantages, clipped * advantages) * mask) / jnp.sum(mask)


def main(sft_steps: int = 700, rl_steps: int = 40) -> None:
    """Imitate first, then reinforce; print reward and accuracy."""
    params = train_sft(sft_steps)
    schedule = optax.linear_schedule(3e-4, 0.0, rl_steps * UPDATES)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.99, weight_decay=0.0))
    state = optimizer.init(params)

    @jax.jit
    def update(params, state, rows):
        gradients = jax.grad(loss)(params, rows)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    prompts = data.build(DataContext(split="prompts"))
    for step in range(1, rl_steps + 1):
        problems = [prompts[(step * PROMPTS + i) % len(prompts)] for i in range(PROMPTS)]
        engine.update_weights(Weights(step, params))
        completions = roll_out(problems, step)
        rewards = np.array([reward(problems[i // GROUP], done) for i, done in enumerate(completions)])
        advantages = group_advantages(rewards.reshape(PROMPTS, GROUP)).reshape(-1)
        rows = rows_of(problems, completions, advantages)
        for part in np.split(np.arange(len(completions)), UPDATES):
            params, state = update(params, state, {name: column[part] for name, column in rows.items()})
        if step % 10 == 0 or step == rl_steps:
            tokens = np.mean([len(done.tokens) for done in completions])
            print(f"rollout {step}: reward {rewards.mean():.3f}, {tokens:.1f} tokens per completion")
    print(f"after {rl_steps} rollouts of RL: accuracy {accuracy(params):.3f}")


if __name__ == "__main__":
    assert END != PAD, "a completion's end and its padding are different tokens"
    main(*map(int, sys.argv[1:3]))
