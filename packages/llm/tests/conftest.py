"""Eight virtual CPU devices, no silent rank promotion, and tiny models for every test of the package."""

import os

import jax
import numpy as np
import pytest

from burnish.llm import testing
from burnish.llm.batch import make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.placement import place_params
from burnish.llm.sequence import make_sample
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.testing import distribution as distribution
from burnish.platform.testing import make_mesh, use_virtual_devices

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
use_virtual_devices()

mesh = make_mesh
"""The fixture under the name that tests here know it by."""

HF_CONFIG = testing.tiny_qwen2_config(
    vocab_size=61,
    architectures=["Qwen2ForCausalLM"],
    hidden_act="silu",
    rms_norm_eps=1e-3,
    max_position_embeddings=64,
    use_sliding_window=False,
    eos_token_id=60,
)


@pytest.fixture(autouse=True, scope="module")
def programs():
    """Let go of what a file has compiled; a process has too few memory maps for the programs of all."""
    yield
    jax.clear_caches()


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


LENGTH = 12


def _samples(seed, count=8):
    rng = np.random.default_rng(seed)
    return [
        make_sample(rng.integers(0, 50, 3), rng.integers(0, 50, rng.integers(1, 8))) for _ in range(count)
    ]


@pytest.fixture
def samples_of():
    """Return a maker of samples of 4 to 10 tokens, by seed."""
    return _samples


@pytest.fixture
def batch_of():
    """Return a maker of batches of ragged samples, or of given rows."""

    def make(seed=0, rows=None, **options):
        rows = _samples(seed) if rows is None else rows
        return make_batch(rows, **{"num_rows": len(rows), "length": LENGTH, "pad_token_id": 60} | options)

    return make


@pytest.fixture
def model(hf_config):
    """Return a tiny Qwen2."""
    return Qwen2().build(FamilyContext(hf_config=hf_config))


@pytest.fixture
def make_training(model, scaled_params, mesh):
    """Return a maker of backends on a tiny Qwen2 whose every feature is felt."""

    default = AdamW(learning_rate=1e-2, schedule="linear", warmup_steps=2, weight_decay=0.1)

    def make(
        mesh_shape=(1, 1),
        dtypes=("float32", "float32"),
        model=model,
        optimizer=default,
        component=JaxTraining,
        **options,
    ):
        of_context = {name: options.pop(name) for name in ("tokenizer", "artifacts") if name in options}
        return component(logprob_chunk=32, **options).build(
            TrainingContext(
                model=model,
                load=lambda like: place_params(scaled_params(model, scale=0.2), like),
                optimizer=optimizer,
                total_steps=20,
                mesh=mesh(*mesh_shape),
                jax=JaxConfig(param_dtype=dtypes[0], compute_dtype=dtypes[1]),
                **of_context,
            )
        )

    return make


@pytest.fixture
def assert_bit_equal():
    """Return the check that two trees of arrays are equal in every bit."""

    def check(ours, theirs):
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(np.array(one), np.array(other))

    return check
