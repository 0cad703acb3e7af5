"""Checkpoints with low-rank updates: resumed from files, opened as a model, and held against their base."""

import json
import shutil

import jax
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.lora import LoRA
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.tokenizer import AutoTokenizer, ByteTokenizer
from burnish.llm.export import HuggingFaceWriter
from burnish.llm.objective import cross_entropy
from burnish.llm.training import TrainingContext
from burnish.platform.checkpoint.backend import CheckpointContext
from burnish.platform.checkpoint.config import Msgpack
from burnish.platform.checkpoint.manifest import write_manifest
from burnish.platform.checkpoint.step_directory import restore, verify_step, write_payload
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import CheckpointError, ConfigError

SMALL = Tiny(hidden_size=32, num_heads=2, num_kv_heads=1, intermediate_size=48)


@pytest.fixture
def base(tmp_path, scaled_params):
    """Return the directory of a model."""
    bundle = SMALL.build(ModelContext(tokenizer=ByteTokenizer()))
    write = HuggingFaceWriter(dtype="float32")
    return write(tmp_path / "base", bundle.model, scaled_params(bundle.model, scale=0.2), bundle.tokenizer)


def opened(path):
    bundle = load_bundle(Pretrained(name_or_path=str(path)), ModelContext(tokenizer=AutoTokenizer()))
    bundle.check_params()
    return bundle


@pytest.fixture
def make_training(mesh):
    """Return a maker of backends over the model in a directory."""

    def make(path, mesh_shape=(1, 1), dtypes=("float32", "float32"), reads=None, **options):
        bundle = opened(path)

        def load(like):
            if reads is not None:
                reads.append(path)
            return bundle.load(like)

        return LoRA(**{"rank": 4, "alpha": 8.0, **options}).build(
            TrainingContext(
                model=bundle.model,
                load=load,
                optimizer=AdamW(learning_rate=1e-2),
                total_steps=20,
                mesh=mesh(*mesh_shape),
                jax=JaxConfig(param_dtype=dtypes[0], compute_dtype=dtypes[1]),
                tokenizer=bundle.tokenizer,
                origin=bundle.origin,
            )
        )

    return make


def backend(_=None):
    return Msgpack().build(CheckpointContext())


def saved(training, directory):
    """Write a checkpoint as a run does, of the backend alone."""
    directory.mkdir()
    snapshot = training.save_state()
    write_payload(directory, {"training": snapshot}, backend, {"step": 3})
    facts = {"kind": "checkpoint", "step": 3, "backend": "msgpack", "trees": sorted(snapshot.trees)}
    write_manifest(directory, facts)
    return directory


def loaded(path):
    bundle = opened(path)
    return bundle.load(bundle.model.abstract("float32"))


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("checkpoint", ["all", "adapters"])
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "bfloat16")], ids=str)
def test_a_checkpoint_continues_bit_for_bit_and_is_a_model(
    base, make_training, batch_of, assert_bit_equal, tmp_path, dora, checkpoint, dtypes
):
    options = {"checkpoint": checkpoint, "dora": dora, "dtypes": dtypes}
    uninterrupted, resumed = (make_training(base, **options) for _ in range(2))
    uninterrupted.step(batch_of(0), cross_entropy)
    step = saved(uninterrupted, tmp_path / "step_3")
    assert (step / "params").is_dir() == (checkpoint == "all")
    restore(verify_step(step, 3), {"training": resumed}, {}, backend)
    elsewhere = make_training(base, (1, 2, 2), **options)
    restore(verify_step(step, 3), {"training": elsewhere}, {}, backend)
    assert_bit_equal(elsewhere.save_state().trees, uninterrupted.save_state().trees)
    exact, found = uninterrupted.weights().tree, loaded(step)
    if dtypes[1] == "float32":
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
        assert not np.array_equal(found["layers"]["mlp"]["up"], loaded(base)["layers"]["mlp"]["up"])
    for seed in (1, 2):
        expected = uninterrupted.step(batch_of(seed), cross_entropy).statistics
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy).statistics, expected)
    assert_bit_equal(resumed.save_state().trees, uninterrupted.save_state().trees)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_what_bfloat16_computes_is_one_model_in_a_checkpoint_an_export_and_an_adapter(
    base, make_training, batch_of, tmp_path, dora
):
    """The twin is the model that engines get, whose matrices are rounded."""
    bundle = opened(base)
    write, params = HuggingFaceWriter(dtype="bfloat16"), loaded(base)
    narrow = write(tmp_path / "narrow", bundle.model, params, bundle.tokenizer)
    training = make_training(narrow, dtypes=("float32", "bfloat16"), dora=dora, checkpoint="adapters")
    for seed in range(2):
        training.step(batch_of(seed), cross_entropy)
    training.write_updates(tmp_path / "adapter")
    HuggingFaceWriter(dtype="float32")(
        tmp_path / "export", bundle.model, training.exported(), bundle.tokenizer
    )
    step = saved(training, tmp_path / "step_3")
    made = [loaded(path) for path in (step, tmp_path / "export", tmp_path / "adapter")]
    for ours, *others in zip(*map(jax.tree.leaves, made), strict=True):
        for theirs in others:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    up = [tree["layers"]["mlp"]["up"] for tree in (made[0], training.weights().tree)]
    assert np.abs(up[0] - np.array(up[1], np.float32)).max() > 1e-4


def test_updates_of_updates_find_every_model_that_they_stand_on(base, make_training, batch_of, tmp_path):
    first = make_training(base, checkpoint="adapters")
    first.step(batch_of(0), cross_entropy)
    lower = saved(first, tmp_path / "lower")
    second = make_training(lower, checkpoint="adapters")
    for seed in range(2):
        second.step(batch_of(seed), cross_entropy)
    found, expected = loaded(saved(second, tmp_path / "upper")), second.weights().tree
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("checkpoint", "stays"), [("adapters", True), ("all", False)])
def test_a_base_that_is_named_is_neither_saved_nor_read_again(
    base, make_training, batch_of, assert_bit_equal, tmp_path, checkpoint, stays
):
    """The twin is saved whole: what comes back lies in other buffers."""
    reads, options = [], {"checkpoint": checkpoint, "dtypes": ("float32", "bfloat16")}
    training, resumed = (make_training(base, reads=reads, **options) for _ in range(2))
    training.step(batch_of(0), cross_entropy)
    step = saved(training, tmp_path / "step_3")
    frozen = resumed.weights().tree["embed"]
    restore(verify_step(step, 3), {"training": resumed}, {}, backend)
    assert reads == [base, base]
    assert (resumed.weights().tree["embed"] is frozen) == stays
    assert_bit_equal(resumed.weights().tree, training.weights().tree)


def test_a_base_that_others_took_the_place_of_is_read_again(
    base, make_training, batch_of, assert_bit_equal, tmp_path
):
    training, resumed = (make_training(base, checkpoint="adapters") for _ in range(2))
    training.step(batch_of(0), cross_entropy)
    step = saved(training, tmp_path / "step_3")
    others = jax.tree.map(lambda leaf: np.array(leaf) + np.float32(1), resumed.weights().tree)
    resumed.load_weights(others)
    with pytest.raises(ConfigError, match=r"other weights took the place of the model .* checkpoint=all"):
        resumed.save_state()
    restore(verify_step(step, 3), {"training": resumed}, {}, backend)
    assert_bit_equal(resumed.weights().tree, training.weights().tree)
    resumed.save_state()
    whole = make_training(base, checkpoint="all")
    whole.load_weights(others)
    assert whole.save_state().trees["params"].keys() == others.keys()


@pytest.mark.parametrize("checkpoint", ["adapters", "all"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"alpha": 16.0},
            "training.alpha=16.0: .* updates are of alpha=8.0; set that one again",
        ),
        ({"rank": 5}, "training.rank=5: the checkpoint's updates are of rank=4"),
        ({"scaling": "rslora"}, "training.scaling=rslora: .* of scaling=alpha_over_rank"),
        ({"dora": True}, "training.dora=True: .* of dora=False"),
        (
            {"targets": ("layers/mlp/down",)},
            "training.targets: the checkpoint's updates are of layers/mlp/gate, layers/mlp/up; set targets",
        ),
    ],
    ids=str,
)
def test_updates_are_not_taken_for_those_of_another_form_and_go_on_in_their_own(
    base, make_training, tmp_path, checkpoint, wrong, message
):
    options = {"checkpoint": checkpoint, "targets": ("layers/mlp/gate", "layers/mlp/up")}
    step = saved(make_training(base, **options), tmp_path / "step_3")
    with pytest.raises(CheckpointError, match=message) as told:
        restore(verify_step(step, 3), {"training": make_training(base, **{**options, **wrong})}, {}, backend)
    assert "\n" not in str(told.value)
    restore(verify_step(step, 3), {"training": make_training(base, **options)}, {}, backend)


def replace_by_another(base):
    """Put a model that differs in one leaf into a directory; return where its own is kept."""
    kept = shutil.copytree(base, base.parent / "kept")
    bundle = opened(base)
    params = bundle.load(bundle.model.abstract("float32"))
    params["final_norm"] = params["final_norm"] + np.float32(1)
    HuggingFaceWriter(dtype="float32")(base, bundle.model, params, bundle.tokenizer)
    return kept


def test_updates_are_not_put_into_another_model_and_are_again_into_their_own(
    base, make_training, batch_of, tmp_path
):
    training = make_training(base, checkpoint="adapters")
    training.step(batch_of(0), cross_entropy)
    step = saved(training, tmp_path / "step_3")
    kept = replace_by_another(base)
    with pytest.raises(
        CheckpointError, match=r"updates are of the model that lay in .*: put that one back"
    ) as told:
        opened(step)
    assert "\n" not in str(told.value)
    other = make_training(base, checkpoint="adapters")
    with pytest.raises(CheckpointError, match="put that one back"):
        restore(verify_step(step, 3), {"training": other}, {}, backend)
    shutil.rmtree(base)
    kept.rename(base)
    opened(step)
    restore(verify_step(step, 3), {"training": make_training(base, checkpoint="adapters")}, {}, backend)
    base.rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=r"updates of the model .*, which is not found: put it back"):
        opened(step)


def test_updates_upon_those_of_peft_are_not_put_upon_another_base_of_these(
    base, make_training, batch_of, tmp_path
):
    """Nothing in a directory of peft tells its base from another one; the twin has its own again."""
    lower = make_training(base)
    lower.step(batch_of(0), cross_entropy)
    lower.write_updates(tmp_path / "adapter")
    (tmp_path / "adapter" / "manifest.json").unlink()
    upper = make_training(tmp_path / "adapter", checkpoint="adapters")
    upper.step(batch_of(1), cross_entropy)
    step = saved(upper, tmp_path / "step_3")
    opened(step)
    kept = replace_by_another(base)
    with pytest.raises(CheckpointError, match="put that one back"):
        opened(step)
    shutil.rmtree(base)
    kept.rename(base)
    opened(step)


@pytest.mark.parametrize("is_named", [False, True])
def test_an_adapter_of_a_model_without_files_opens_once_its_base_is_named(base, mesh, tmp_path, is_named):
    """The twin knows its base, and is not to be given another."""
    bundle = opened(base)
    context = TrainingContext(
        model=bundle.model,
        load=bundle.load,
        optimizer=AdamW(),
        total_steps=1,
        mesh=mesh(1, 1),
        jax=JaxConfig(),
        origin=bundle.origin if is_named else None,
    )
    LoRA(rank=4).build(context).write_updates(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    if not is_named:
        with pytest.raises(CheckpointError, match="write its directory or its name on the hub there"):
            opened(tmp_path / "adapter")
    named = {**json.loads(config.read_text()), "base_model_name_or_path": str(base)}
    config.write_text(json.dumps(named))
    if is_named:
        with pytest.raises(CheckpointError, match=r"is (altered|truncated)"):
            opened(tmp_path / "adapter")
    else:
        opened(tmp_path / "adapter")
