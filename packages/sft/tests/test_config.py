import pytest

from burnish.llm.config.training import JaxTraining
from burnish.platform.configuration.config import JaxConfig, MeshConfig
from burnish.platform.errors import ConfigError
from burnish.platform.runs.stage import CheckContext
from burnish.sft.config import SFT

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("name", ["steps", "rows_per_step"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}=0 is out of range; legal: 1 or more"):
        SFT(**{name: 0})


def test_a_length_without_room_for_a_completion_is_refused():
    with pytest.raises(ConfigError, match="max_length=1 is out of range; legal: 2 or more"):
        SFT(max_length=1)
    assert SFT(max_length=2).max_length == 2


def test_check_when_devices_do_not_divide_the_rows_says_what_would():
    with pytest.raises(ConfigError, match=r"a batch of 6 rows .* = 4 devices; 4 or 8 rows could"):
        SFT(rows_per_step=6).check(CheckContext(jax=JaxConfig(mesh=MeshConfig(dp=2, fsdp=2))))


def test_check_when_micro_batches_do_not_divide_the_rows_says_what_would():
    stage = SFT(rows_per_step=6, training=JaxTraining(micro_batch_rows=4))
    with pytest.raises(
        ConfigError, match=r"micro_batch_rows=4 cannot divide .* legal values: 1, 2, 3, 6, all"
    ):
        stage.check(CheckContext(jax=JaxConfig()))


def test_check_when_all_divides_says_nothing():
    SFT(rows_per_step=8, training=JaxTraining(micro_batch_rows=4)).check(
        CheckContext(jax=JaxConfig(mesh=MeshConfig(dp=2)))
    )
