"""The statistics of the train step, importable without jax."""

from burnish.platform.statistics.metric import Metric, rate_of

LOSS = Metric(
    name="train/loss",
    label="loss",
    order=10,
    meaning="What the optimizer steps bring down: the objective's mean over an update's batch, "
    "and the balance loss of a model with experts.",
)
TOKENS = Metric(
    name="train/tokens",
    label="tokens",
    is_rate=True,
    meaning="Tokens trained on, padding and prompts left out.",
)
TRAINING = (
    LOSS,
    TOKENS,
    Metric(
        name=rate_of(TOKENS.name),
        meaning="Tokens trained on per second of the whole step: rollout, evaluation and compilation count.",
    ),
    Metric(
        name="train/entropy",
        meaning="Mean entropy in nats of what the model says of the next token, where one is trained on: 0 "
        "is certainty. Sampled tokens count at the temperature they were sampled at.",
    ),
    Metric(name="train/cross_entropy", meaning="Nats per trained token, before any weighting."),
    Metric(
        name="train/balance_loss",
        meaning="How unevenly tokens take experts, before its coefficient: where all are taken alike, the "
        "number of experts that a token takes.",
    ),
    Metric(name="train/grad_norm", meaning="Global norm of the gradient before it is clipped."),
    Metric(name="train/learning_rate", meaning="The learning rate of the step, as the schedule has it."),
    Metric(name="train/skipped", meaning="Share of updates left out because their gradient was not finite."),
)
