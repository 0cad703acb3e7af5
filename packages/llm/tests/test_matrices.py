"""Which leaves of a model are matrices, and between which dims."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.family_choice import find_family
from burnish.llm.optimizers.matrices import decay_mask, dims_of_one, hidden_matrices
from burnish.llm.tensor_layout import huggingface_shape

pytestmark = pytest.mark.fast

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "families.json").read_text())["cases"]


def model_of(case):
    with np.load(GOLDEN / "families.npz") as arrays:
        config = json.loads(str(arrays[f"{case} config"]))
    return find_family(config, GOLDEN).component.build(FamilyContext(hf_config=config))


def shape_of(model, path):
    tree = model.abstract("float32")
    for key in path:
        tree = tree[key]
    return tree.shape


@pytest.mark.parametrize("tied", [True, False])
def test_a_qwen2_when_read_by_hand_then_has_these_matrices(hf_config, tied):
    model = Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": tied}))
    heads = {("layers", "attention", name): ((1,), (2, 3)) for name in ("query", "key", "value")}
    mlp = {("layers", "mlp", name): ((1,), (2,)) for name in ("gate", "up", "down")}
    expected = {("embed",): ((0,), (1,)), **heads, ("layers", "attention", "out"): ((1, 2), (3,)), **mlp}
    if not tied:
        expected[("head",)] = ((1,), (0,))
    assert model.matrices == expected
    assert hidden_matrices(model).keys() == expected.keys() - {("embed",), ("head",)}


def test_experts_when_stacked_then_each_is_a_matrix_of_its_own():
    model = model_of("mixtral")
    down = ("layers", "mlp", "down")
    assert shape_of(model, down)[:2] == (3, 4)
    assert model.matrices[down] == ((2,), (3,))
    assert dims_of_one(model, down, 4) == (2, 3)
    assert model.matrices[("layers", "mlp", "router")] == ((1,), (2,))


@pytest.mark.parametrize("case", CASES)
def test_matrices_when_held_against_the_checkpoint_then_are_its_tensors_of_two_dims(case):
    model = model_of(case)
    for path, name in model.parameter_names.items():
        shape = shape_of(model, path)
        stored = huggingface_shape(name, shape[name.num_stacked :])
        assert (path in model.matrices) == (len(stored) == 2), path
        if path in model.matrices:
            sides = [math.prod(shape[dim] for dim in dims) for dims in model.matrices[path]]
            assert tuple(sides) == (stored if path == ("embed",) else stored[::-1]), path
            of_one = dims_of_one(model, path, len(shape))
            assert sorted(of_one) == list(range(name.num_stacked, len(shape))), path
        else:
            assert dims_of_one(model, path, len(shape)) == tuple(range(name.num_stacked, len(shape))), path


def test_decay_mask_when_heads_are_apart_then_neither_norms_nor_biases_decay():
    """OLMo 2 norms all heads together, so that its scale is no matrix though it has two dims."""
    model = model_of("olmo2")
    attention = decay_mask(model)(model.abstract("float32"))["layers"]["attention"]
    assert attention["query"]
    assert not attention["query_norm"]
    assert len(shape_of(model, ("layers", "attention", "query_norm"))) == 3, "which dims alone would not tell"
    assert decay_mask(model)(model.abstract("float32"))["embed"]
