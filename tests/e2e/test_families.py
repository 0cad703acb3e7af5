"""Model directories of several families through `stage=sft`, the engine and the export."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.model import Pretrained
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.family_choice import find_family
from burnish.llm.testing import logits_of, params_of
from burnish.llm.weights import save_huggingface

GOLDEN = Path(__file__).parents[2] / "packages/llm/tests/golden/families.npz"


FEW = ("evaluation.max_new_tokens=12", "stages.sft.steps=8", "stages.sft.optimizer.learning_rate=1e-2")


@pytest.fixture(params=["llama3", "qwen3", "gemma3", "qwen3 with experts"])
def directory(request, tmp_path):
    """A model directory of a family, with random parameters, for texts in bytes."""
    with np.load(GOLDEN) as arrays:
        config = json.loads(str(arrays[f"{request.param} config"])) | {"vocab_size": 260}
    (made := tmp_path / "model").mkdir()
    model = find_family(config, made).component.build(FamilyContext(hf_config=config))
    save_huggingface(made, model, model.init(0), "float32")
    return made


def test_a_model_of_a_family_is_trained_sampled_from_and_exported(train, directory, one_stage):
    words = [word for word in one_stage if not word.startswith("stages.sft.steps")]
    source = ["model=pretrained", "tokenizer=bytes", f"model.name_or_path={directory}"]
    done = train(*words, *source, *FEW)
    assert done.returncode == 0, done.stderr
    run = train.output / "x"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses[-1] < losses[0]
    assert "eval/accuracy" in json.loads((run / "summary.json").read_text())["sft"]

    export = run / "stages/1-sft/export"
    context = ModelContext(tokenizer=ByteTokenizer())
    before, after = (load_bundle(Pretrained(name_or_path=str(each)), context) for each in (directory, export))
    assert after.model == before.model
    moved = jax.tree.map(lambda old, new: np.abs(old - new).max(), params_of(before), params_of(after))
    assert min(jax.tree.leaves(moved)) > 0, "a parameter was not trained"
    logits_are_those_of_transformers(export, after)


def logits_are_those_of_transformers(export, bundle):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        export, attn_implementation="eager", dtype="float32"
    )
    tokens = np.random.default_rng(0).integers(0, 256, (2, 17))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens)).logits.numpy()
    found = logits_of(bundle.model, params_of(bundle), tokens)
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
