"""What of a Phi-3 is refused by name: long texts and a rotation of some dims."""

import pytest

from burnish.llm.config.family import Phi3
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.testing import tiny_qwen2_config
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast

PART = {"rope_type": "default", "partial_rotary_factor": 0.5}


def build(**changes):
    config = tiny_qwen2_config(vocab_size=61, model_type="phi3", **changes)
    return Phi3().build(FamilyContext(hf_config=config))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rope_scaling": {"type": "longrope", "long_factor": [1.0]}}, "rope_type='longrope'"),
        ({"rope_scaling": {"type": "su"}}, "rope_type='su'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_type='yarn'"),
        ({"rope_parameters": PART}, "partial_rotary_factor"),
        ({"partial_rotary_factor": 0.75}, "partial_rotary_factor"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
    ],
)
def test_a_feature_that_is_not_computed_is_refused_by_name_in_one_line(change, named):
    with pytest.raises(ConfigError, match="phi3 here does not support") as caught:
        build(**change)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_window_is_that_of_every_layer_and_without_one_there_is_none():
    assert [kind.spec.window for kind in build(sliding_window=5).shape.kinds] == [5]
    assert [kind.spec.window for kind in build(sliding_window=None).shape.kinds] == [None]
