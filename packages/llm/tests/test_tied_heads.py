"""A head in the files of a model whose config ties it: a copy of the embedding, or the files are refused."""

from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.families.decoder import DecoderLM
from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.tensor_name import TensorName
from burnish.llm.safetensors_files import TensorFiles
from burnish.llm.testing import params_in, scaled_params, tiny_qwen2
from burnish.llm.weights import HEAD, check_huggingface, load_huggingface, save_huggingface
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast

EMBEDDING = "model.embed_tokens.weight"
DIFFERS = rf"`{HEAD}` differs from `(.*)`, and config.json ties them: set tie_word_embeddings to false there"


@dataclass(frozen=True)
class Foreign:
    """The same model with its embedding at another path, stored under the names it is given."""

    inner: DecoderLM
    names: object = TensorName(EMBEDDING)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def parameter_names(self):
        return {moved(path): self.names if path == ("embed",) else name for path, name in self._named}

    @property
    def matrices(self):
        return {moved(path): dims for path, dims in self.inner.matrices.items()}

    def abstract(self, dtype):
        leaves = leaves_by_path(self.inner.abstract(dtype)).items()
        return nest({moved(path): leaf for path, leaf in leaves})

    @property
    def _named(self):
        return self.inner.parameter_names.items()


def moved(path):
    return ("wte", "table") if path == ("embed",) else path


HALVES = (TensorName("first.weight", rows=(0, 30)), TensorName("second.weight"))
MODELS = {
    "own": lambda model: model,
    "at another path": Foreign,
    "in two tensors": lambda model: Foreign(model, HALVES),
}


@pytest.fixture(params=MODELS)
def saved(request, tmp_path):
    """Return a model, and a directory whose files have a head that is the embedding once more."""
    inner = tiny_qwen2(vocab_size=61)
    model = MODELS[request.param](inner)
    params = scaled_params(inner)
    table = params.pop("embed")
    save_huggingface(tmp_path, model, {**params, "wte": {"table": table}, "embed": table}, "float32")
    write_head(tmp_path, table)
    return model, tmp_path, table


def write_head(directory, head):
    file = directory / "model.safetensors"
    save_file({**load_file(file), HEAD: np.ascontiguousarray(head)}, file)


def test_a_copy_is_not_read_as_a_parameter(saved):
    model, directory, table = saved
    check_huggingface(directory, model)
    read = leaves_by_path(params_in(directory, model))
    assert ("head",) not in read
    np.testing.assert_array_equal(read.get(("embed",), read.get(("wte", "table"))), table)


@pytest.mark.parametrize("row", [0, 60])
def test_a_head_with_one_row_of_its_own_is_refused_when_it_is_read(saved, row):
    model, directory, table = saved
    head = table.copy()
    head[row] += 1
    write_head(directory, head)
    check_huggingface(directory, model)
    with pytest.raises(CheckpointError, match=DIFFERS) as caught:
        params_in(directory, model)
    assert "\n" not in str(caught.value)
    rest = {"final_norm": model.abstract("float32")["final_norm"]}
    assert load_huggingface(directory, model, rest)["final_norm"].shape == (32,)


def test_a_head_of_another_shape_is_refused_by_the_headers(saved):
    model, directory, table = saved
    write_head(directory, table[:-1])
    with pytest.raises(CheckpointError, match=DIFFERS):
        check_huggingface(directory, model)


def test_headers_are_checked_without_a_tensor_being_read(saved, monkeypatch):
    model, directory, _ = saved
    monkeypatch.setattr(TensorFiles, "rows", None)
    check_huggingface(directory, model)
    with pytest.raises(TypeError):
        params_in(directory, model)


def test_twin_a_family_that_looks_up_no_table_has_nothing_to_compare_with(saved):
    model, directory, table = saved
    write_head(directory, -table)
    lookups = {path: dims for path, dims in model.matrices.items() if path[0] == "layers"}

    @dataclass(frozen=True)
    class Silent(Foreign):
        matrices = lookups

    params_in(directory, Silent(model) if isinstance(model, DecoderLM) else Silent(**vars(model)))


def test_an_untied_model_reads_its_head(tmp_path):
    model = tiny_qwen2(vocab_size=61, tie_word_embeddings=False)
    params = scaled_params(model)
    save_huggingface(tmp_path, model, params, "float32")
    np.testing.assert_array_equal(params_in(tmp_path, model)["head"], params["head"])
