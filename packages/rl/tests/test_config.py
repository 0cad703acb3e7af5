import pytest

from burnish.platform.errors import ConfigError
from burnish.rl.config import RL, ClippedPolicyGradient


@pytest.mark.parametrize("name", ["steps", "prompts_per_step", "samples_per_prompt", "max_new_tokens"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}=0 must be at least 1"):
        RL(**{name: 0})


def test_updates_that_do_not_divide_are_refused_with_what_would():
    with pytest.raises(ConfigError, match=r"it could be one of \[1, 2, 3, 4, 6, 12\]"):
        RL(prompts_per_step=12, updates_per_rollout=5)


def test_greedy_temperature_is_refused():
    with pytest.raises(ConfigError, match="temperature=0"):
        RL(temperature=0.0)


@pytest.mark.parametrize("clips", [{"clip_low": 0.0}, {"clip_low": 1.0}, {"clip_high": 0.0}])
def test_empty_clip_ranges_are_refused(clips):
    with pytest.raises(ConfigError, match="clip_low"):
        ClippedPolicyGradient(**clips)
