"""Eight virtual CPU devices, a tiny model whose next-token distribution is not flat, and engines for it."""

import os
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from burnish.llm.testing import logits_of, scaled_params, tiny_qwen2
from burnish.llm.versioned_weights import Weights
from burnish.platform.testing import make_mesh as make_mesh
from burnish.platform.testing import use_virtual_devices

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
use_virtual_devices()

EOS = 40


@pytest.fixture(scope="session")
def model():
    """Return a tiny Qwen2 of 41 tokens, the last of which ends a completion."""

    return tiny_qwen2(vocab_size=41)


@pytest.fixture(scope="session")
def make_params(model):
    """Return a maker of parameters so large that the logits vary by about 1."""
    return lambda seed=0, scale=0.3: scaled_params(model, seed, scale)


@pytest.fixture(scope="session")
def params(make_params):
    """Return the parameters most tests use."""
    return make_params()


@pytest.fixture
def make_engine(model, params, make_mesh):
    """Return a maker of engines with weights of version 0; eight slots of 24 tokens unless told otherwise."""
    from burnish.platform.configuration.config import JaxConfig
    from burnish.sample.config.engine import InProcess
    from burnish.sample.engine import EngineContext, EngineLimits

    def make(mesh=None, max_tokens=24, eos_token_ids=(EOS,), head=lambda model: model, **options):
        shape = {"slots": 8, "decode_steps": 4, "prefill_rows": 8, "prefill_tokens": 4, **options}
        engine = InProcess(**shape).build(
            EngineContext(
                model=head(model),
                tokenizer=SimpleNamespace(eos_token_ids=eos_token_ids),
                mesh=mesh or make_mesh(),
                limits=EngineLimits(max_tokens=max_tokens),
                jax=JaxConfig(),
            )
        )
        engine.update_weights(Weights(0, params))
        return engine

    return make


@pytest.fixture
def make_requests():
    """Return a maker of requests with prompts of 1 to 9 tokens and keys of their own."""
    from burnish.sample.request import Request

    def make(count, temperature=1.0, max_new_tokens=8, seed=0, step=0):
        generator = np.random.default_rng(seed)
        lengths = generator.integers(1, 10, count)
        return [
            Request(
                id=index,
                prompt_tokens=generator.integers(0, EOS, length).tolist(),
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                key_words=(0, 1, step, 2, index),
            )
            for index, length in enumerate(lengths)
        ]

    return make


@pytest.fixture
def full_logits(model):
    """Return a function that gives the logits [t v] of a whole sequence by one pass without a cache."""

    def logits(params, tokens, length=24):
        padded = np.zeros((1, length), np.int32)
        padded[0, : len(tokens)] = tokens
        return logits_of(model, params, padded)[0, : len(tokens)]

    return logits


@pytest.fixture
def reference(full_logits):
    """Return the naive decoder: a full forward pass per token, one request at a time."""

    def key_of(words, position):
        key = jax.random.key(0)
        for word in (*words, position):
            key = jax.random.fold_in(key, np.uint32(word))
        return key

    def decode(params, request):
        tokens = list(request.prompt_tokens)
        for _ in range(request.max_new_tokens):
            logits = full_logits(params, tokens)[-1]
            if request.temperature > 0:
                noise = jax.random.gumbel(key_of(request.key_words, len(tokens)), logits.shape)
                logits = logits / request.temperature + np.asarray(noise)
            tokens.append(int(np.argmax(logits)))
            if tokens[-1] == EOS:
                break
        return tokens[len(request.prompt_tokens) :]

    return decode


@pytest.fixture
def count_compiles():
    """Return a reader of how many programs were compiled since it was last read."""
    from burnish.platform.device.compiles import CompileCounter

    counter = CompileCounter()
    return lambda: counter.read().programs


@pytest.fixture
def make_samples():
    """Return a maker of samples with given completions and answers."""
    from burnish.llm.sequence import make_sample

    def make(*pairs, status="stop"):
        return [
            make_sample([1], [2], completion=completion, record={"answer": answer}, status=status)
            for completion, answer in pairs
        ]

    return make
