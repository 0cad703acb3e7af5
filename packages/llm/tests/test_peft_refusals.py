"""Directories of peft that are not read: what is said of them, and that they are once it is followed."""

import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.bundle import ModelContext
from burnish.llm.config.family import Qwen2
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.lora.form import WithAdapters
from burnish.llm.lora.low_rank import LowRank
from burnish.llm.lora.model import AdaptedLM
from burnish.llm.lora.opening import levels_of
from burnish.llm.lora.peft_writing import write_peft
from burnish.llm.lora.targets import targets_of
from burnish.llm.model_source import ModelSource, locate
from burnish.llm.pretrained import pretrained_bundle
from burnish.llm.weights import save_huggingface
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast


@dataclass(frozen=True)
class Stored:
    """A model some of whose matrices are stored under other names."""

    inner: object
    end: str

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def parameter_names(self):
        def renamed(name):
            return replace(name, template=name.template.replace("up_proj.weight", f"up_proj{self.end}"))

        return {path: renamed(name) for path, name in self.inner.parameter_names.items()}


DOWN = "base_model.model.model.layers.0.mlp.down_proj"


@pytest.fixture
def adapted(model, scaled_params, tmp_path, monkeypatch):
    """Return a model with updates in `adapter`, and itself in `base`, of the directory that is current."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    save_huggingface(tmp_path / "base", model, scaled_params(model), "float32")
    adapted = AdaptedLM(model, LowRank(rank=4, alpha=6.0), targets_of(model, ("layers/mlp",), ()))
    (tmp_path / "adapter").mkdir()
    write_peft(tmp_path / "adapter", adapted, adapted.init(0), locate("base"))
    return adapted


def altered_config(directory, **options):
    file = directory / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **options}))


def altered(directory, tensors, **options):
    """Change what lies in a directory of peft; a tensor that is None is taken out."""
    altered_config(directory, **options)
    arrays = {**load_file(directory / "adapter_model.safetensors"), **tensors}
    save_file(
        {name: array for name, array in arrays.items() if array is not None},
        directory / "adapter_model.safetensors",
    )


@pytest.mark.parametrize(
    ("options", "tensors", "message"),
    [
        ({"peft_type": "LOHA"}, {}, "peft_type='LOHA' is not computed, only 'LORA'"),
        ({"bias": "all"}, {}, "bias='all' is not computed, only 'none'"),
        ({"init_lora_weights": "pissa"}, {}, "init_lora_weights='pissa' is not computed"),
        ({}, {"base_model.model.lm_head.weight": np.ones((2, 2))}, "is no factor of a matrix's update"),
        (
            {},
            {"base_model.model.lm_head.lora_A.weight": np.ones((4, 32), np.float32)},
            "is no matrix of the model's layers",
        ),
        ({}, {f"{DOWN}.lora_B.weight": np.ones((31, 4), np.float32)}, r"the model makes them \(rank, 48\)"),
        ({}, {f"{DOWN}.lora_B.weight": None}, r"the model makes them \(rank, 48\)"),
        ({}, {f"{DOWN}.lora_B.weight": np.full((32, 4), np.nan, np.float32)}, "NaN or infinite"),
        ({"use_dora": True}, {}, r"layers\.0\.mlp\.\w+` has 0 norms, and with use_dora=True "),
        (
            {},
            {f"{DOWN}.lora_magnitude_vector": np.ones(32, np.float32)},
            "has 32 norms, and with use_dora=False 0",
        ),
        ({"base_model_name_or_path": None}, {}, "names no model that the updates are of"),
        ({"base_model_name_or_path": "/nowhere"}, {}, "updates of the model /nowhere, which is not found"),
        ({"base_model_name_or_path": "adapter"}, {}, "name themselves as their base"),
    ],
    ids=str,
)
def test_what_is_computed_otherwise_is_refused_in_one_line(adapted, tmp_path, options, tensors, message):
    """The twin: the same directory before it is altered."""

    def load():
        return levels_of(locate(str(tmp_path / "adapter")))[0].updates.read(adapted.base)

    load()
    altered(tmp_path / "adapter", tensors, **options)
    with pytest.raises(CheckpointError, match=message) as told:
        load()
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("adapted")
@pytest.mark.parametrize("names", [["adapter", "other"], ["adapter", "other", "third"]], ids=len)
def test_updates_that_name_each_other_are_refused_and_read_once_one_names_a_model(tmp_path, names):
    for name, base in zip(names, [*names[1:], names[0]], strict=True):
        if name != "adapter":
            shutil.copytree(tmp_path / "adapter", tmp_path / name)
        altered_config(tmp_path / name, base_model_name_or_path=base)
    with pytest.raises(CheckpointError) as told:
        levels_of(locate("adapter"))
    listed = " and ".join(str(tmp_path / name) for name in names)
    assert str(told.value) == (
        f"{listed} hold updates that name each other as their base: name the model that they are of in "
        "adapter_config.json"
    )
    altered_config(tmp_path / names[-1], base_model_name_or_path="base")
    assert [level.source.directory.name for level in levels_of(locate("adapter"))] == [*names, "base"]


@pytest.mark.usefixtures("adapted")
def test_a_config_of_a_model_beside_updates_makes_them_no_model(tmp_path):
    """It is the base's that counts. The twin has the weights of a model beside it."""
    adapter, base = tmp_path / "adapter", tmp_path / "base"
    config = {**json.loads((base / "config.json").read_text()), "rope_theta": 77.0}
    (adapter / "config.json").write_text(json.dumps(config))

    def opened(source):
        context = ModelContext(tokenizer=ByteTokenizer())
        bundle = pretrained_bundle(source, context, trust_remote_code=False, compute=Compute())
        bundle.check_params()
        return bundle

    for source in (locate("adapter"), ModelSource(adapter, is_checkpoint=False, name="of/the-hub")):
        assert [level.source.directory.name for level in levels_of(source)] == ["adapter", "base"]
        assert opened(source).model.hf_config == json.loads((base / "config.json").read_text())
    shutil.copy(base / "model.safetensors", adapter)
    assert [level.source.directory.name for level in levels_of(locate("adapter"))] == ["adapter"]
    assert opened(locate("adapter")).model.hf_config == config


@pytest.mark.parametrize(("end", "is_written"), [("", False), (".weight", True)])
def test_updates_of_a_tensor_that_is_no_weight_of_a_module_are_not_written_in_part(
    adapted, mesh, tmp_path, end, is_written
):
    model = replace(adapted, base=Stored(adapted.base, end))
    WithAdapters(model=model, mesh=mesh(1, 1), seed=0).write(tmp_path / "made", adapted.init(0))
    assert (tmp_path / "made").is_dir() == is_written


def test_a_mended_directory_is_read(adapted, tmp_path):
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    adapter = locate(str(tmp_path / "adapter"))
    for wrong in (None, str(tmp_path / "adapter")):
        altered_config(tmp_path / "adapter", base_model_name_or_path=wrong)
        with pytest.raises(CheckpointError):
            levels_of(adapter)
    altered_config(tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "base"))
    updates = levels_of(adapter)[0].updates
    with pytest.raises(CheckpointError, match="is missing: copy it there"):
        updates.read(adapted.base)
    save_file({}, weights)
    with pytest.raises(CheckpointError, match="holds no updates: give the file that peft has written"):
        updates.read(adapted.base)
    weights.write_bytes(content)
    altered_config(tmp_path / "adapter", use_dora=True)
    with pytest.raises(CheckpointError, match="give the file that peft has written beside its config"):
        updates.read(adapted.base)
    altered_config(tmp_path / "adapter", use_dora=False)
    assert updates.read(adapted.base)[0].targets == adapted.targets
    narrow = Qwen2().build(FamilyContext(hf_config={**adapted.hf_config, "intermediate_size": 40}))
    with pytest.raises(CheckpointError, match="give the model that they are of"):
        updates.read(narrow)
