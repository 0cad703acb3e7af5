"""What devices send each other in a step, read from its compiled program: never logits."""

import contextlib
import math
import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from burnish.llm import sharding
from burnish.llm.config.family import Gemma2, Mixtral, Qwen2, Qwen3MoE
from burnish.llm.families import experts
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.micro_batches import place
from burnish.llm.policy import policy_of
from burnish.llm.row_sharding import on_mesh
from burnish.llm.sharding import likeness_of, replicated
from burnish.llm.testing import tiny_qwen2_config
from burnish.llm.testing_scores import laid_out

VOCAB = 96
"""No other dim of model and batch is as large, nor is a half or a quarter of it."""
COLLECTIVE = re.compile(
    r"= (.*?) (?:all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)
ARRAY = re.compile(r"\w+\[([\d,]*)\]")
GEMMA = {"model_type": "gemma2", "final_logit_softcapping": 2.0, "head_dim": 8, "sliding_window": 4}
SPARSE = {
    "mixtral": (Mixtral(), {"num_local_experts": 8}),
    "qwen3_moe": (Qwen3MoE(), {"num_experts": 6, "moe_intermediate_size": 72, "head_dim": 8}),
}


def sent(hlo):
    """Yield the dims of each array that a collective of a program gives a device."""
    for shapes in COLLECTIVE.findall(hlo):
        for dims in ARRAY.findall(shapes):
            yield tuple(int(size) for size in dims.split(",") if size)


def sent_logits(hlo, hidden_size):
    """Return the arrays with a dim of the vocabulary, or a share of it, and none of the hidden states."""
    vocab, hidden = ({size // share for share in (1, 2, 4, 8)} for size in (VOCAB, hidden_size))
    return [dims for dims in sent(hlo) if set(dims) & vocab and not set(dims) & hidden]


def step_program(model, batch, mesh, chunk, predict=None, context=on_mesh):
    """Return the compiled text of loss and gradients."""

    def loss(params, rows):
        policy = policy_of(model, params, rows, chunk)
        if predict is not None:
            return predict(policy, rows, mesh)
        return -jnp.sum(policy.logprobs() * rows.weights) + 0.1 * jnp.sum(policy.entropy())

    def gradients(params, rows):
        with context(mesh):
            return jax.grad(loss)(params, rows)

    params = likeness_of(model, "float32", mesh)
    return jax.jit(gradients).lower(params, place(batch, mesh)).compile().as_text()


def with_whole_logits(policy, rows, mesh):
    """The fault: every device holds the logits of all tokens."""
    split = NamedSharding(mesh, PartitionSpec(None, None, "tp"))
    logits = jax.lax.with_sharding_constraint(policy.head.logits(policy.hidden), split)
    logits = jax.lax.with_sharding_constraint(logits, replicated(mesh))
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), rows.tokens[..., None], axis=-1)[..., 0]
    return -jnp.sum(chosen * rows.weights)


@pytest.fixture(params=["tied", "capped"])
def model(request):
    config = tiny_qwen2_config(vocab_size=VOCAB, hidden_size=56, intermediate_size=72)
    if request.param == "capped":
        return Gemma2().build(FamilyContext(hf_config={**config, **GEMMA, "tie_word_embeddings": False}))
    return Qwen2().build(FamilyContext(hf_config=config))


@pytest.mark.parametrize("chunk", [16, 10_000])
@pytest.mark.parametrize("shape", [(1, 1, 4), (1, 8, 1), (2, 2, 2)], ids=str)
def test_no_collective_of_a_step_holds_logits(model, mesh, shape, chunk):
    text = step_program(model, laid_out(), mesh(*shape), chunk)
    assert list(sent(text)), "nothing is sent at all"
    assert sent_logits(text, model.hidden_size) == []


@pytest.mark.parametrize("shape", [(1, 1, 4), (2, 2, 2)], ids=str)
def test_twin_logits_that_are_gathered_are_found(model, mesh, shape):
    text = step_program(model, laid_out(), mesh(*shape), 16, with_whole_logits)
    assert sent_logits(text, model.hidden_size)


def test_fsdp_sends_parameters_and_no_activations(model, mesh):
    """Each is gathered twice at most, and its gradient summed; the twin leaves the rest to the compiler."""
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(model.abstract("float32")))
    for chunk in (16, 10_000):
        text = step_program(model, laid_out(), mesh(1, 8, 1), chunk)
        assert sum(map(math.prod, sent(text))) <= 3.5 * num_parameters
    left = step_program(model, laid_out(), mesh(1, 8, 1), 16, context=contextlib.nullcontext)
    assert sum(map(math.prod, sent(left))) > 10 * num_parameters


def sparse_model(name):
    family, own = SPARSE[name]
    config = tiny_qwen2_config(vocab_size=VOCAB, hidden_size=56, intermediate_size=72)
    sizes = {"model_type": name, "num_experts_per_tok": 2, "tie_word_embeddings": False}
    return family.build(FamilyContext(hf_config={**config, **own, **sizes}))


@pytest.mark.parametrize("shape", [(1, 8, 1), (8, 1, 1)], ids=str)
@pytest.mark.parametrize("name", SPARSE)
def test_tokens_that_experts_take_stay_on_their_devices(mesh, monkeypatch, name, shape):
    """Parameters are gathered once and their gradients summed; the twin sorts the tokens of all devices."""
    sparse, batch = sparse_model(name), laid_out()
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(sparse.abstract("float32")))
    activations = batch.tokens.size * sparse.hidden_size
    text = step_program(sparse, batch, mesh(*shape), 10_000)
    assert sum(map(math.prod, sent(text))) <= 2.2 * num_parameters
    assert max(map(math.prod, sent(text))) < activations
    assert not list(sent(text.split("\nENTRY ")[0])), "a loop sends something each time"
    monkeypatch.setattr(experts, "each_on_its_rows", lambda function, *arrays: function(*arrays))
    left = step_program(sparse, batch, mesh(*shape), 10_000)
    assert max(map(math.prod, sent(left))) >= activations


def test_tp_sends_no_matrix_of_an_expert(mesh, monkeypatch):
    """The twin splits what counts experts by tp, and gathers them all for each block of tokens."""

    def sent_matrices():
        text = step_program(sparse_model("mixtral"), laid_out(), mesh(1, 1, 4), 10_000)
        return [dims for dims in sent(text) if {72, 18} & set(dims)]

    assert sent_matrices() == []
    monkeypatch.setattr(sharding, "RULES", {**sharding.RULES, "experts": ("fsdp", "tp")})
    assert sent_matrices()
