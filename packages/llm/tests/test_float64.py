"""Logits and gradients in fp32 against float64: no worse than a few times what torch's own fp32 is off.

The oracle is a Qwen2 written out in float64; transformers' would round norms and rotary angles to fp32.
"""

import json
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from burnish.llm.config.family import Qwen2
from burnish.llm.families import operations
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.logprobs import linear_logprobs
from burnish.llm.testing import params_in, tiny_qwen2_config
from burnish.llm.weights import save_huggingface

torch = pytest.importorskip("torch", reason="torch is not installed")

WORSE = 5
"""How many times torch's own error is still good."""
LENGTH = 192
THETA = 10000.0


def oracle(tensors, config, tokens, positions):
    """Return the logits [b t v] in the dtype of the tensors, in which every operation runs."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim, eps = config["hidden_size"] // heads, config["rms_norm_eps"]

    def norm(values, name):
        return values * torch.rsqrt((values**2).mean(-1, keepdim=True) + eps) * tensors[name]

    frequencies = THETA ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = (positions.double()[..., None] * frequencies).repeat(1, 1, 2)[:, None]

    def rotate(values):
        first, second = values.chunk(2, dim=-1)
        return values * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()

    def split(values, prefix, count):
        flat = values @ tensors[f"{prefix}.weight"].T + tensors[f"{prefix}.bias"]
        return flat.unflatten(-1, (count, head_dim)).transpose(1, 2)

    hidden = tensors["model.embed_tokens.weight"][tokens]
    causal = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        inputs = norm(hidden, f"{at}.input_layernorm.weight")
        queries = rotate(split(inputs, f"{at}.self_attn.q_proj", heads))
        keys = rotate(split(inputs, f"{at}.self_attn.k_proj", kv_heads))
        values = split(inputs, f"{at}.self_attn.v_proj", kv_heads)
        keys, values = (each.repeat_interleave(heads // kv_heads, dim=1) for each in (keys, values))
        scores = (queries @ keys.transpose(-1, -2) / head_dim**0.5).masked_fill(~causal, -torch.inf)
        context = (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
        hidden = hidden + context @ tensors[f"{at}.self_attn.o_proj.weight"].T
        inputs = norm(hidden, f"{at}.post_attention_layernorm.weight")
        gate = torch.nn.functional.silu(inputs @ tensors[f"{at}.mlp.gate_proj.weight"].T)
        up = inputs @ tensors[f"{at}.mlp.up_proj.weight"].T
        hidden = hidden + (gate * up) @ tensors[f"{at}.mlp.down_proj.weight"].T
    return norm(hidden, "model.norm.weight") @ tensors["model.embed_tokens.weight"].T


def loss_of(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@pytest.fixture(scope="module", params=[0, 30_000], ids=["begin", "position 30,000"])
def case(request, tmp_path_factory):
    """Return model, parameters, tokens and positions, and logits and gradients of oracle and transformers."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = tiny_qwen2_config(97, rope_theta=THETA, rms_norm_eps=1e-6, max_position_embeddings=40_000)
    torch.manual_seed(0)
    theirs = Qwen2ForCausalLM(Qwen2Config(**config)).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_(float(name.endswith("norm.weight")), 0.2)
    directory = tmp_path_factory.mktemp("model")
    theirs.save_pretrained(directory)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 97, (2, LENGTH)))
    positions = torch.arange(LENGTH)[None].repeat(2, 1) + request.param

    exact = {name: each.detach().double().requires_grad_() for name, each in theirs.named_parameters()}
    logits = oracle(exact, config, tokens, positions)
    loss_of(logits, tokens).backward()
    of_oracle = logits.detach().numpy(), {name: each.grad.numpy() for name, each in exact.items()}
    logits = theirs(tokens, position_ids=positions).logits
    loss_of(logits, tokens).backward()
    of_theirs = logits.detach().numpy(), {n: p.grad.numpy() for n, p in theirs.named_parameters()}

    model = Qwen2().build(FamilyContext(hf_config=json.loads((directory / "config.json").read_text())))
    arrays = tokens.numpy().astype(np.int32), positions.numpy().astype(np.int32)
    return model, params_in(directory, model), arrays, of_oracle, of_theirs


def ours(model, params, tokens, positions):
    """Return logits, and gradients by their Hugging Face names."""

    def loss(params):
        hidden = model.forward(params, tokens, positions, jnp.ones_like(tokens)).hidden
        logprobs = linear_logprobs(hidden[:, :-1], model.head(params), tokens[:, 1:]).logprob
        return -jnp.mean(logprobs), model.head(params).logits(hidden)

    gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(params)
    with tempfile.TemporaryDirectory() as directory:
        save_huggingface(Path(directory), model, gradients, "float32")
        named = load_file(Path(directory) / "model.safetensors")
    return np.asarray(logits), named


def error(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


def worse(case):
    """Return how many times our error is torch's: of the logits, and of the worst tensor's gradient."""
    model, params, arrays, (logits, gradients), (their_logits, their_gradients) = case
    our_logits, our_gradients = ours(model, params, *arrays)
    assert our_gradients.keys() == gradients.keys()
    of_gradients = {
        name: error(our_gradients[name], exact) / error(their_gradients[name], exact)
        for name, exact in gradients.items()
    }
    return error(our_logits, logits) / error(their_logits, logits), max(of_gradients.values())


def test_errors_are_those_of_torch_a_few_times_at_most(case):
    of_logits, of_gradients = worse(case)
    assert of_logits <= WORSE
    assert of_gradients <= WORSE


def test_twin_with_products_in_bfloat16_they_are_not(case, monkeypatch):
    product = jnp.matmul

    def rounded(left, right, **_):
        return product(left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)).astype(left.dtype)

    monkeypatch.setattr(operations.jnp, "matmul", rounded)
    of_logits, of_gradients = worse(case)
    assert of_logits > WORSE
    assert of_gradients > WORSE
