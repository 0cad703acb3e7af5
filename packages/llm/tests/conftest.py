"""Eight virtual CPU devices, no silent rank promotion, and tiny models for every test of the package."""

import os

import numpy as np
import pytest

from burnish.llm import testing
from burnish.platform.testing import make_mesh as mesh  # noqa: F401 - a fixture
from burnish.platform.testing import use_virtual_devices

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
use_virtual_devices()

HF_CONFIG = testing.tiny_qwen2_config(
    vocab_size=61,
    architectures=["Qwen2ForCausalLM"],
    hidden_act="silu",
    rms_norm_eps=1e-3,
    max_position_embeddings=64,
    use_sliding_window=False,
    eos_token_id=60,
)


@pytest.fixture
def hf_config():
    """Return the `config.json` of a tiny Qwen2 whose norm epsilon and rope theta are felt."""
    return dict(HF_CONFIG)


@pytest.fixture(params=["tied", "untied"])
def qwen2(request):
    """Return a tiny Qwen2, with and without a head of its own."""
    from burnish.llm.config.family import Qwen2
    from burnish.llm.families.protocol import FamilyContext

    return Qwen2().build(
        FamilyContext(hf_config={**HF_CONFIG, "tie_word_embeddings": request.param == "tied"})
    )


@pytest.fixture
def scaled_params():
    """Return the maker of parameters that are felt."""
    return testing.scaled_params


@pytest.fixture
def logits_of():
    """Return the function that gives every logit of a batch."""
    return testing.logits_of


@pytest.fixture
def assert_same_logits():
    """Return the check of every parity: 1e-5 * max(1, max |logit|), on logits that vary by 1 at least."""

    def check(actual, expected):
        assert np.std(expected) >= 1, "the logits are too small to show a difference"
        assert np.abs(actual - expected).max() <= 1e-5 * max(1, np.abs(expected).max())

    return check
