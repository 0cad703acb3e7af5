"""Which distribution brings which first-party component: for the install hint when it is absent."""

DISTRIBUTIONS = (
    "burnish-platform",
    "burnish-llm",
    "burnish-sample",
    "burnish-sft",
    "burnish-rl",
    "burnish-minionerec",
)
"""The first-party distributions, in the order of their layers."""

_LLM, _SAMPLE, _RL = "burnish-llm", "burnish-sample", "burnish-rl"

FIRST_PARTY: dict[str, dict[str, str]] = {
    "checkpoint": dict.fromkeys(("msgpack", "orbax"), "burnish-platform"),
    "sink": dict.fromkeys(("jsonl", "console", "tensorboard"), "burnish-platform"),
    "data": dict.fromkeys(("arithmetic", "jsonl"), "burnish-platform"),
    "model": dict.fromkeys(("tiny", "pretrained"), _LLM),
    "tokenizer": dict.fromkeys(("auto", "bytes"), _LLM),
    "family": {"qwen2": _LLM},
    "optimizer": {"adamw": _LLM},
    "training": {"jax": _LLM},
    "objective": {"cross_entropy": _LLM, "clipped_policy_gradient": _RL, "policy_gradient": _RL},
    "export": {"huggingface": _LLM},
    "engine": {"in_process": _SAMPLE},
    "reward": dict.fromkeys(("exact_match", "format"), _SAMPLE),
    "evaluation": {"greedy": _SAMPLE},
    "stage": {"eval": _SAMPLE, "sft": "burnish-sft", "rl": _RL},
    "rollout": {"single_turn": _RL},
    "advantage": dict.fromkeys(("group_mean", "leave_one_out", "batch_mean"), _RL),
    "filter": {"uniform_reward": _RL},
}
"""Slot, then component, then the distribution that ships it."""
