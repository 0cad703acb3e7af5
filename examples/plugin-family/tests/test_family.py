"""GPT-2 passes what every family has to pass, and refuses what it does not compute."""

import pytest
from burnish_gpt2.config import GPT2

from burnish.llm import FamilyContext
from burnish.llm.testing_family import ModelFamilyTests
from burnish.platform import ConfigError

CONFIG = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 64,
    "n_positions": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 48,
    "layer_norm_epsilon": 1e-3,
    "tie_word_embeddings": True,
}


class TestGPT2(ModelFamilyTests):
    family = GPT2()
    configs = {"tiny": CONFIG}  # noqa: RUF012 - nobody changes it


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"activation_function": "relu"}, "activation_function='relu' (only 'gelu_new')"),
        ({"n_embd": 30}, "n_embd=30 must be a multiple of n_head=4"),
        ({"n_layer": 0}, "n_layer=0 is no whole number of at least 1"),
    ],
    ids=str,
)
def test_what_it_does_not_compute_is_refused_by_name(change, said):
    with pytest.raises(ConfigError) as caught:
        GPT2().build(FamilyContext(hf_config=CONFIG | change))
    assert said in str(caught.value)
