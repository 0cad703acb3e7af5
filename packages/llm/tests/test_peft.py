"""Updates in the format of peft, both ways, at the logits of peft and transformers."""

import importlib.util
import json
import shutil
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.family import Phi3, Qwen2
from burnish.llm.config.model import Pretrained
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.lora.low_rank import LowRank
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.lora.opening import levels_of
from burnish.llm.lora.peft_reading import read_peft
from burnish.llm.lora.peft_writing import write_peft
from burnish.llm.lora.targets import ALL_LINEAR, targets_of
from burnish.llm.model_source import locate
from burnish.llm.testing import tiny_qwen2
from burnish.llm.testing_scores import tokens_of
from burnish.llm.weights import load_huggingface, save_huggingface, save_tensors
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

GOLDEN = Path(__file__).parent / "golden"
HAS_PEFT = all(importlib.util.find_spec(name) for name in ("torch", "peft"))
needs_peft = pytest.mark.skipif(not HAS_PEFT, reason="torch and peft are not both installed")
KINDS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns": {
        "rank_pattern": {"o_proj": 3, "layers.1.mlp.down_proj": 5},
        "alpha_pattern": {"layers.0.self_attn.o_proj": 9},
    },
}


@pytest.fixture(params=["qwen2", "phi3"])
def base(request, hf_config, scaled_params):
    """Return a model with matrices of its own, or fused ones, and its parameters."""
    config = {**hf_config, "vocab_size": 264, "eos_token_id": 256, "pad_token_id": 259}
    family = Qwen2()
    if request.param == "phi3":
        family, config = Phi3(), {**config, "model_type": "phi3", "tie_word_embeddings": False}
        config |= {"architectures": ["Phi3ForCausalLM"], "original_max_position_embeddings": 64}
    model = family.build(FamilyContext(hf_config=config))
    return model, scaled_params(model)


@pytest.fixture
def directory(base, tmp_path):
    """Return the base as transformers reads it."""
    model, params = base
    (tmp_path / "base").mkdir()
    save_huggingface(tmp_path / "base", model, params, "float32")
    return tmp_path / "base"


def felt(adapters, seed=3):
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf + 0.2 * generator.standard_normal(leaf.shape), np.float32), adapters
    )


def of_torch(model, tokens):
    import torch

    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.numpy()


def transformers_model(directory):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory).eval()


def written_by_peft(directory, aside, **options):
    """Train nothing, but make updates that are felt, and save them; return the logits with them."""
    import peft
    import torch

    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", **options)
    model = peft.get_peft_model(transformers_model(directory), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(aside)
    return of_torch(model, tokens_of(2))


def test_recorded_updates_of_peft_are_read_with_its_logits(
    tmp_path, monkeypatch, logits_of, assert_same_logits
):
    """DoRA and rsLoRA with two ranks, where peft and torch need not be installed."""
    monkeypatch.chdir(tmp_path)
    model = tiny_qwen2(61)
    with np.load(GOLDEN / "peft.npz") as arrays:
        tensors = {name: arrays[name].astype(np.float32) for name in arrays.files}
    expected = tensors.pop("logits")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(json.dumps(model.hf_config))
    save_tensors(tmp_path / "base/model.safetensors", tensors)
    shutil.copytree(GOLDEN / "peft", tmp_path / "adapter")
    [updates, base] = levels_of(locate("adapter"))
    assert base.source == locate("base")
    params = load_huggingface(base.source.directory, model, model.abstract("float32"))
    adapted, adapters = updates.updates.read(model)
    whole = {**params, "adapters": adapters}
    assert_same_logits(logits_of(adapted, whole, tokens_of(2)), expected)
    assert_same_logits(logits_of(model, adapted.merged(whole), tokens_of(2)), expected)
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(model, params, tokens_of(2)), expected)


@needs_peft
@pytest.mark.parametrize("kind", KINDS)
def test_updates_that_peft_has_written_are_read_with_its_logits(
    base, directory, tmp_path, logits_of, assert_same_logits, kind
):
    model, params = base
    expected = written_by_peft(directory, tmp_path / "adapter", **KINDS[kind])
    bundle = load_bundle(
        Pretrained(name_or_path=str(tmp_path / "adapter")), ModelContext(tokenizer=ByteTokenizer())
    )
    bundle.check_params()
    made = bundle.load(model.abstract("float32"))
    assert_same_logits(logits_of(model, made, tokens_of(2)), expected)
    adapted, adapters = read_peft(tmp_path / "adapter", model)
    assert_same_logits(logits_of(adapted, {**params, "adapters": adapters}, tokens_of(2)), expected)
    config_file = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(config_file.read_text())
    config_file.write_text(json.dumps({**config, "lora_alpha": 6.1}))
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(model, bundle.load(model.abstract("float32")), tokens_of(2)), expected)


WRITTEN = pytest.mark.parametrize(
    "options",
    [
        {},
        {"scaling": "rslora"},
        {"dora": True},
        {"targets": ("layers/*/query", "layers/mlp/up"), "dora": True},
    ],
    ids=["plain", "rslora", "dora", "some"],
)


def felt_updates(model, params, *, targets=ALL_LINEAR, **options):
    """Return a model with updates that are felt, and all its parameters."""
    adapted = AdaptedLM(model, LowRank(rank=4, alpha=6.0, **options), targets_of(model, targets, ()))
    whole = adapted.beside(params, 0)
    return adapted, {**whole, "adapters": felt(whole["adapters"])}


@WRITTEN
def test_updates_that_are_written_are_read_again(
    base, directory, tmp_path, logits_of, assert_same_logits, options
):
    model, params = base
    adapted, whole = felt_updates(model, params, **options)
    (tmp_path / "adapter").mkdir()
    write_peft(tmp_path / "adapter", adapted, whole, locate(str(directory)))
    again, adapters = read_peft(tmp_path / "adapter", model)
    expected = logits_of(adapted, whole, tokens_of(2))
    assert_same_logits(logits_of(again, {**params, "adapters": adapters}, tokens_of(2)), expected)
    halved = jax.tree.map(lambda leaf: leaf / 2, adapters)
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(again, {**params, "adapters": halved}, tokens_of(2)), expected)


@needs_peft
@WRITTEN
def test_updates_that_are_written_are_read_by_peft_with_the_same_logits(
    base, directory, tmp_path, logits_of, assert_same_logits, options
):
    import peft

    model, params = base
    adapted, whole = felt_updates(model, params, **options)
    (tmp_path / "adapter").mkdir()
    write_peft(tmp_path / "adapter", adapted, whole, locate(str(directory)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        theirs = peft.PeftModel.from_pretrained(transformers_model(directory), tmp_path / "adapter").eval()
    assert not [each for each in told if "missing" in str(each.message)]
    assert_same_logits(logits_of(adapted, whole, tokens_of(2)), of_torch(theirs, tokens_of(2)))
    others = {**whole, "adapters": felt(whole["adapters"], seed=4)}
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(adapted, others, tokens_of(2)), of_torch(theirs, tokens_of(2)))


@needs_peft
@pytest.mark.parametrize("kind", ["plain", "rslora", "dora"])
def test_gradients_of_the_updates_are_those_of_peft(base, directory, tmp_path, kind):
    import peft
    import torch

    model, params = base
    options = {"plain": {}, "rslora": {"scaling": "rslora"}, "dora": {"dora": True}}[kind]
    targets = targets_of(model, ("layers/attention/out", "layers/mlp/down"), ())
    adapted = AdaptedLM(model, LowRank(rank=4, alpha=6.0, **options), targets)
    whole = adapted.beside(params, 0)
    whole = {**whole, "adapters": felt(whole["adapters"])}
    (tmp_path / "adapter").mkdir()
    write_peft(tmp_path / "adapter", adapted, whole, locate(str(directory)))
    theirs = peft.PeftModel.from_pretrained(
        transformers_model(directory), tmp_path / "adapter", is_trainable=True
    )
    tokens = tokens_of(2)
    theirs(torch.tensor(tokens), labels=torch.tensor(tokens)).loss.backward()
    found = gradients_of(adapted, whole, tokens)
    for name, parameter in theirs.named_parameters():
        if parameter.grad is not None:
            at, expected = leaf_of(name), parameter.grad.numpy()
            ours = np.asarray(at(found))
            ours = ours.reshape(expected.T.shape).T if ours.ndim > 1 else ours
            assert np.linalg.norm(ours - expected) <= 1e-5 * np.linalg.norm(expected), name
            assert np.linalg.norm(1.001 * ours - expected) > 1e-5 * np.linalg.norm(expected)
    assert sum(parameter.grad is not None for parameter in theirs.parameters()) == (
        12 if kind == "dora" else 8
    )


def gradients_of(model, params, tokens):
    """Return the gradients of the mean cross-entropy over the updates."""
    tokens = np.asarray(tokens)
    positions = np.tile(np.arange(tokens.shape[1]), (len(tokens), 1))

    def loss(adapters):
        whole = {**params, "adapters": adapters}
        hidden = model.forward(whole, tokens, positions, np.ones_like(tokens)).hidden
        logprobs = jax.nn.log_softmax(model.head(whole).logits(hidden))[:, :-1]
        return -jax.numpy.mean(jax.numpy.take_along_axis(logprobs, tokens[:, 1:, None], axis=-1))

    return jax.jit(jax.grad(loss))(params["adapters"])


def leaf_of(name):
    """Return what picks the leaf of a layer by the name of a parameter of peft."""
    parts = name.split(".")
    layer = int(parts[parts.index("layers") + 1])
    path = ("attention", "out") if "o_proj" in parts else ("mlp", "down")
    leaf = "a" if "lora_A" in parts else "b" if "lora_B" in parts else "magnitude"
    return lambda tree: tree["layers"][path[0]][path[1]][leaf][layer]


@needs_peft
def test_what_is_merged_with_peft_is_read(base, directory, tmp_path, logits_of, assert_same_logits):
    import peft

    model, _ = base
    expected = written_by_peft(directory, tmp_path / "adapter", bias="lora_only")
    with pytest.raises(CheckpointError, match="merge the updates with peft, and give the merged model"):
        levels_of(locate(str(tmp_path / "adapter")))[0].updates.read(model)
    theirs = peft.PeftModel.from_pretrained(transformers_model(directory), tmp_path / "adapter")
    theirs.merge_and_unload().save_pretrained(tmp_path / "merged")
    made = load_huggingface(tmp_path / "merged", model, model.abstract("float32"))
    assert_same_logits(logits_of(model, made, tokens_of(2)), expected)
