"""The command in an empty directory, and a chain with this stage in it that is over in seconds."""

import pytest

from burnish.platform.testing import train as train

SHORT = (
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "data.num_prompts=16",
    "evaluation.num_problems=8",
    "engine.slots=8",
    "stages.dpo.pairs.problems.num_problems=2000",
    "stages.dpo.pairs.problems.num_demonstrations=64",
    "stages.dpo.pairs.problems.num_prompts=16",
    "stages.dpo.steps=8",
    "stages.dpo.pairs_per_step=4",
    "checkpoint.save_every_steps=2",
    "run.name=trial",
)


@pytest.fixture
def short() -> list[str]:
    """Return the options of a run that learns nothing."""
    return list(SHORT)
