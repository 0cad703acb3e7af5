"""The statistics of a rollout and its updates, importable without jax."""

from burnish.platform.statistics.metric import Metric

LOSS = Metric(
    name="policy/loss",
    label="loss",
    order=10,
    meaning="The objective's mean over an update's batch: it is no measure of progress, as `reward/mean` is.",
)
REWARD = Metric(
    name="reward/mean",
    label="reward",
    order=15,
    replaces=(LOSS.name,),
    meaning="Mean reward of the step's completions: a loss of RL says little beside it.",
)
ROLLOUT = (
    REWARD,
    Metric(name="reward/std", meaning="Standard deviation of the rewards of the step's completions (n - 1)."),
    Metric(
        name="reward/group_std",
        meaning="Standard deviation of the rewards of a prompt's completions, as a mean over the prompts: "
        "0 teaches nothing.",
    ),
    Metric(name="reward/<label>", meaning="Mean of one reward, before its weight."),
    Metric(
        name="reward/failed", meaning="Completions whose reward raised, returned no number or took too long."
    ),
    Metric(
        name="reward/failed/<label>/<reason>",
        meaning="Completions that one of the rewards failed on, for one reason.",
    ),
    Metric(
        name="reward/mixed_groups",
        meaning="Share of prompts whose completions differ in reward: the others teach nothing.",
    ),
    Metric(name="rollout/completion_tokens", meaning="Mean tokens of a completion."),
    Metric(name="rollout/truncated", meaning="Share of completions that ended at the limit of tokens."),
    Metric(name="rollout/updates", meaning="Optimizer steps made of this rollout."),
)
POLICY = (
    LOSS,
    Metric(name="policy/ratio", meaning="Mean probability of a token over that when it was sampled."),
    Metric(name="policy/clip_fraction", meaning="Share of tokens whose ratio the objective clips."),
    Metric(name="policy/logprob", meaning="Mean log-probability of the trained tokens, in nats."),
    Metric(
        name="mismatch/absolute_logprob_difference",
        meaning="Mean distance of the engine's log-probabilities from the trainer's in the first update of a "
        "rollout, in nats per token; `max_mismatch` is its limit.",
    ),
    Metric(
        name="mismatch/k3",
        meaning="Estimate of the divergence of trainer from engine, in nats per token (k3).",
    ),
)
_LEDGER = {
    "submitted": "Completions asked for: trained, filtered, stale, failed and in flight together",
    "trained": "Completions learned from",
    "filtered": "Completions that filters left out",
    "filtered_<reason>": "Completions that filters left out for one reason",
    "stale": "Completions left out as of too old a policy",
    "failed": "Completions without a reward",
    "in_flight": "Completions not ready yet",
}
ACCOUNTING = tuple(
    Metric(name=f"accounting/{name}", meaning=f"{meaning}.") for name, meaning in _LEDGER.items()
)
