"""A rollout whose updates are not finite, in the whole stage."""

from dataclasses import dataclass

import numpy as np
import pytest

from burnish.llm.config.optimizer import AdamW
from burnish.llm.limits import SKIPPED
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.device.randomness import Purpose, key_words
from burnish.platform.errors import LimitExceeded
from burnish.rl.config.objective import ClippedPolicyGradient
from burnish.rl.config.stage import RL
from burnish.sample.rewards.protocol import RewardResult


@dataclass(frozen=True)
class Odd:
    """The odd token ids of a completion: something that differs by chance."""

    def build(self, _):
        return lambda samples: [RewardResult(float(sum(each.tokens[each.sampled] % 2))) for each in samples]


def test_updates_that_are_not_finite_stop_the_run_and_leave_their_batches(run, shared):
    diverging = RL(
        steps=2,
        prompts_per_step=4,
        samples_per_prompt=4,
        updates_per_rollout=2,
        max_new_tokens=6,
        max_skipped_updates=1,
        rewards={"odd": Odd()},
        objective=ClippedPolicyGradient(clip_high=0.28),
        optimizer=AdamW(learning_rate=1e30, schedule="constant"),
    )
    with pytest.raises(LimitExceeded):
        diverging.build(run, **shared).run(Artifacts())
    (file,) = (run.stage_directory / "not_finite").iterdir()
    assert file.name == "step_1_update_2.npz"
    with np.load(file) as batch:
        assert {"tokens", "columns/advantages", f"statistics/{SKIPPED}"} <= batch.keys()
        assert batch["scalars/clip_high"] == pytest.approx(0.28)
        assert tuple(batch["noise_words"]) == key_words(run.seed, run.index, 1, Purpose.TRAINING, 1)
