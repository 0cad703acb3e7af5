import pytest

from burnish.llm.config.model import Pretrained, Tiny
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("sizes", [{"hidden_size": 36}, {"num_kv_heads": 3}, {"num_heads": 3}], ids=str)
def test_sizes_that_do_not_fit_together_are_refused(sizes):
    with pytest.raises(ConfigError, match="hidden_size"):
        Tiny(**sizes)


def test_a_pretrained_model_without_a_name_is_refused():
    with pytest.raises(ConfigError, match="name_or_path"):
        Pretrained(name_or_path="")
