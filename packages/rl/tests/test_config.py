from dataclasses import dataclass
from typing import ClassVar

import pytest

from burnish.llm.config.training import JaxTraining
from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.config import JaxConfig, MeshConfig
from burnish.platform.errors import ConfigError
from burnish.platform.runs.stage import CheckContext
from burnish.rl.config.advantage import BatchMean, LeaveOneOut
from burnish.rl.config.objective import ClippedPolicyGradient, PolicyGradient
from burnish.rl.config.stage import RL

pytestmark = pytest.mark.fast


@dataclass(frozen=True, kw_only=True)
class Quartet:
    """The advantage of a third party, which compares four completions."""

    min_group_size: ClassVar[int] = 4

    def build(self, _):
        return lambda groups: [[] for _ in groups]


def paired(groups):
    """An advantage as a plain function, which says that it compares two completions."""
    return [[] for _ in groups]


paired.min_group_size = 2


@pytest.mark.parametrize("name", ["steps", "prompts_per_step", "samples_per_prompt", "max_new_tokens"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}=0 is out of range; legal: 1 or more"):
        RL(**{name: 0})


def test_updates_that_do_not_divide_are_refused_with_what_would():
    with pytest.raises(ConfigError, match=r"it could be one of \[1, 2, 3, 4, 6, 12\]"):
        RL(prompts_per_step=12, updates_per_rollout=5)


def test_greedy_temperature_is_refused():
    with pytest.raises(ConfigError, match="temperature=0"):
        RL(temperature=0.0)


@pytest.mark.parametrize("clips", [{"clip_low": 0.0}, {"clip_low": 1.0}, {"clip_high": 0.0}])
def test_empty_clip_ranges_are_refused(clips):
    with pytest.raises(ConfigError, match=r"^clip_"):
        ClippedPolicyGradient(**clips)


def test_check_when_the_rows_of_an_update_do_not_divide_says_what_would():
    stage = RL(prompts_per_step=4, samples_per_prompt=3, updates_per_rollout=2)
    with pytest.raises(ConfigError, match=r"a batch of 6 rows .* = 4 devices; 4 or 8 rows could"):
        stage.check(CheckContext(jax=JaxConfig(mesh=MeshConfig(fsdp=4))))
    stage.check(CheckContext(jax=JaxConfig(mesh=MeshConfig(fsdp=2))))


def test_check_when_micro_batches_do_not_divide_says_what_would():
    stage = RL(prompts_per_step=4, samples_per_prompt=2, training=JaxTraining(micro_batch_rows=3))
    with pytest.raises(
        ConfigError, match=r"micro_batch_rows=3 cannot divide .* legal values: 1, 2, 4, 8, all"
    ):
        stage.check(CheckContext(jax=JaxConfig()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_skipped_updates": 0}, "max_skipped_updates=0"),
        ({"log_groups": -1}, "log_groups=-1"),
        ({"max_mismatch": 0.0}, "max_mismatch"),
        ({"reward_timeout_seconds": 0.0}, "reward_timeout_seconds"),
        ({"rewards": {}}, "nothing to learn from"),
        ({"reward_weights": {"speed": 1.0}}, "reward_weights names"),
        ({"samples_per_prompt": 1}, "too few for the advantage 'group_mean', which compares 2"),
        ({"samples_per_prompt": 1, "advantage": LeaveOneOut()}, "the advantage 'leave_one_out'"),
        ({"samples_per_prompt": 3, "advantage": Quartet()}, r"'.*:Quartet', which compares 4 completions"),
        ({"samples_per_prompt": 1, "advantage": FunctionComponent(paired)}, r"'.*:paired', which compares 2"),
        ({"updates_per_rollout": 2, "objective": PolicyGradient()}, "'policy_gradient' can learn"),
    ],
)
def test_parts_that_cannot_learn_together_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        RL(**options)


@pytest.mark.parametrize(
    ("samples_per_prompt", "advantage"), [(1, BatchMean()), (2, LeaveOneOut()), (4, Quartet()), (2, paired)]
)
def test_twin_as_many_completions_as_the_advantage_compares_are_accepted(samples_per_prompt, advantage):
    component = FunctionComponent(advantage) if advantage is paired else advantage
    assert RL(samples_per_prompt=samples_per_prompt, advantage=component).advantage is component
