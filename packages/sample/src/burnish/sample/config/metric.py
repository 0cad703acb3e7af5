"""The statistics of engines and evaluations, importable without jax."""

from burnish.platform.statistics.metric import Metric

ACCURACY = Metric(
    name="eval/accuracy",
    label="accuracy",
    order=20,
    meaning="Share of the held-out problems whose greedy answer is right: the mean of the first reward.",
)
EVALUATION = (
    ACCURACY,
    Metric(name="eval/<label>", meaning="Mean of one of the evaluation's rewards."),
    Metric(name="eval/failed", meaning="Problems whose reward raised, returned no number or took too long."),
    Metric(
        name="eval/failed/<label>/<reason>",
        meaning="Problems that one of the rewards failed on, for one reason.",
    ),
    Metric(name="eval/completion_tokens", meaning="Mean tokens of a completion."),
    Metric(name="eval/truncated", meaning="Share of completions that ended at the limit of tokens."),
)
_ENGINE = {
    "decode_steps": "Decode steps of all slots together in {}.",
    "tokens": "Tokens sampled in {}.",
    "utilization": "Share of slots and decode steps of {} that sampled a token somebody asked for.",
    "weight_sync_bytes": "Bytes of weights copied for {}; 0 where the engine reads the trainer's.",
}
ENGINE = tuple(
    Metric(name=f"perf/{use}/{name}", meaning=meaning.format(where))
    for use, where in {"evaluation": "an evaluation", "rollout": "a rollout"}.items()
    for name, meaning in _ENGINE.items()
)
