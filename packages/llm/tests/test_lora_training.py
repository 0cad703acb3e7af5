"""Training low-rank updates: what moves, what is held, what engines get, and how it goes on after a stop."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch
from burnish.llm.config.lora import LoRA
from burnish.llm.config.optimizer import SGD, AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.footprint import human_bytes
from burnish.llm.objective import cross_entropy
from burnish.llm.tensor_layout import leaf_at
from burnish.llm.training import TrainingContext
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.configuration.config import JaxConfig, MeshConfig
from burnish.platform.errors import ConfigError

OPTIONS = {"component": LoRA, "rank": 4, "alpha": 8.0}
MESHES = [(2, 1), (1, 4), (2, 2), (8, 1), (1, 1, 2), (1, 2, 2), (2, 2, 2)]


@pytest.fixture
def make_lora(make_training):
    """Return a maker of backends that train low-rank updates of a tiny Qwen2."""
    return lambda *mesh_shape, **options: make_training(*mesh_shape, **{**OPTIONS, **options})


def moments_of(training):
    return [name for name in training.save_state().trees["optimizer"] if ".mu." in name or ".nu." in name]


def restored_from(snapshot):
    """Return a snapshot as a checkpoint gives it back, whatever becomes of its arrays."""
    trees = jax.tree.map(np.array, dict(snapshot.trees))
    return Restored(snapshot.json, lambda name, _: trees[name], snapshot.files.__getitem__)


def test_a_step_moves_the_updates_alone_and_engines_get_them_in_the_matrices(
    make_lora, make_training, batch_of, assert_bit_equal
):
    training = make_lora()
    before = jax.tree.map(np.array, training.weights().tree)
    assert_bit_equal(before, make_training().weights().tree)
    saved = jax.tree.map(np.array, dict(training.save_state().trees))
    for seed in range(3):
        training.step(batch_of(seed), cross_entropy)
    after, trees = training.weights().tree, training.save_state().trees
    assert_bit_equal(trees["params"], saved["params"])
    assert jax.tree.structure(after) == jax.tree.structure(before)
    query = [tree["layers"]["attention"]["query"] for tree in (before, after)]
    assert not np.array_equal(*query)
    beside = trees["adapters"]["layers"]["attention"]["query"]
    update = np.einsum("ldr,lrhk->ldhk", beside["a"], beside["b"])
    np.testing.assert_allclose(query[1], query[0] + 2.0 * update, rtol=1e-6, atol=1e-6)
    assert_bit_equal([after["embed"], after["final_norm"]], [before["embed"], before["final_norm"]])


def test_matrices_get_the_masters_of_their_updates_rounded_once(make_lora, batch_of):
    """The twin is made of the copies that are computed with: it has lost what these are rounded by."""
    training = make_lora(dtypes=("float32", "bfloat16"))
    base = np.array(training.weights().tree["layers"]["mlp"]["up"], np.float32)
    for seed in range(3):
        training.step(batch_of(seed), cross_entropy)
    beside = jax.tree.map(np.array, training.save_state().trees["adapters"]["layers"]["mlp"]["up"])

    def made_of(a, b):
        return base + np.float32(2) * np.matmul(a, b)

    exact = made_of(beside["a"], beside["b"])
    coarse = made_of(*(beside[name].astype(jnp.bfloat16).astype(np.float32) for name in "ab"))
    exported = training.exported()["layers"]["mlp"]["up"]
    np.testing.assert_allclose(exported, exact, rtol=1e-6, atol=1e-7)
    assert np.abs(coarse - exact).max() > 1e-5
    given = np.array(training.weights().tree["layers"]["mlp"]["up"])
    np.testing.assert_array_equal(given, exported.astype(jnp.bfloat16))
    assert not np.array_equal(given, coarse.astype(jnp.bfloat16))


@pytest.mark.parametrize("frozen", [(), ("adapters/layers/*/*/magnitude",)], ids=["trained", "frozen"])
@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("bfloat16", "float32")], ids=str)
def test_norms_are_exact_where_matrices_are_rounded(make_lora, batch_of, dtypes, frozen):
    """Fresh updates with norms score as those without; norms in bfloat16 would be others."""
    training = make_lora(dtypes=dtypes, dora=True, frozen=frozen)
    fresh = training.weights().tree["layers"]["mlp"]["up"]
    norms = np.linalg.norm(np.array(fresh, np.float32), axis=1)
    kept = training.save_state().trees["adapters"]["layers"]["mlp"]["up"]["magnitude"]
    np.testing.assert_allclose(kept, norms, rtol=1e-6)
    assert np.abs(norms.astype(jnp.bfloat16).astype(np.float32) / norms - 1).max() > 1e-3
    ours, theirs = (
        each.score(batch_of(0), ["logprobs"])["logprobs"] for each in (training, make_lora(dtypes=dtypes))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_moments_and_masters_are_of_the_updates_alone(make_lora, make_training):
    moments = moments_of(make_lora())
    assert moments
    assert all(".adapters." in name for name in moments)
    named = moments_of(make_lora(trainable=("final_norm",), trainable_rows={"embed": 40}))
    assert {name.split(".")[-1] for name in named if ".adapters." not in name} == {"final_norm", "embed"}
    assert any(name.endswith("query") for name in moments_of(make_training()))


def test_the_plan_tells_the_smaller_state(model, mesh):
    context = TrainingContext(
        model=model,
        load=lambda like: pytest.fail(f"a plan reads {like}"),
        optimizer=AdamW(),
        total_steps=1,
        mesh=mesh(1, 1),
        jax=JaxConfig(compute_dtype="bfloat16"),
    )
    batch = TokenBatch.like(num_rows=8, length=12)
    plan, whole = (each.plan(context, batch, cross_entropy) for each in (LoRA(rank=4), JaxTraining()))
    matrices = {path: leaf_at(model.abstract("float32"), path).shape for path in model.matrices}
    layers = {path: shape for path, shape in matrices.items() if path[0] == "layers"}
    sides = [
        math.prod(shape[dim] for dim in model.matrices[path].inputs)
        + math.prod(shape[dim] for dim in model.matrices[path].outputs)
        for path, shape in layers.items()
    ]
    trained = 4 * 2 * sum(sides)
    assert plan["trained parameters"] == trained
    assert plan["memory of parameters and optimizer"] == human_bytes(3 * 4 * trained + 12)
    assert plan["memory of the merged matrices"] == human_bytes(2 * sum(map(math.prod, layers.values())))
    assert whole["parameters"] + trained == plan["parameters"]
    assert whole["memory of parameters and optimizer"] == human_bytes(3 * 4 * whole["parameters"] + 12)


def test_what_is_named_trainable_is_trained_in_full_beside_the_updates(make_lora, batch_of):
    training = make_lora(trainable=("layers/mlp",), trainable_rows={"embed": 40})
    assert "mlp" not in training.save_state().trees["adapters"]["layers"]
    before = jax.tree.map(np.array, training.weights().tree)
    training.step(batch_of(0), cross_entropy)
    after = training.weights().tree
    assert not np.array_equal(before["layers"]["mlp"]["up"], after["layers"]["mlp"]["up"])
    np.testing.assert_array_equal(before["embed"][:40], after["embed"][:40])
    np.testing.assert_array_equal(before["final_norm"], after["final_norm"])


def test_a_frozen_part_of_the_updates_stays(make_lora, batch_of):
    training = make_lora(frozen=("adapters/layers/*/a",))
    before = jax.tree.map(np.array, training.save_state().trees["adapters"])
    training.step(batch_of(0), cross_entropy)
    beside = [tree["layers"]["mlp"]["up"] for tree in (before, training.save_state().trees["adapters"])]
    np.testing.assert_array_equal(beside[0]["a"], beside[1]["a"])
    assert not np.array_equal(beside[0]["b"], beside[1]["b"])


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize(
    ("mesh_shape", "micro_batch_rows"), [((1, 1), 2), *((shape, "all") for shape in MESHES)]
)
def test_losses_and_updates_do_not_depend_on_devices_and_micro_batches(
    make_lora, batch_of, dora, mesh_shape, micro_batch_rows
):
    options = {"optimizer": SGD(learning_rate=0.1), "max_grad_norm": float("inf"), "dora": dora}
    alone = make_lora((1, 1), **options)
    cut = make_lora(mesh_shape, micro_batch_rows=micro_batch_rows, **options)
    for seed in range(2):
        steps = [each.step(batch_of(seed), cross_entropy).statistics for each in (alone, cut)]
        np.testing.assert_allclose(*(statistics["train/loss"][0] for statistics in steps), rtol=1e-5)
    assert_same_updates(cut, alone)


def assert_same_updates(training, expected):
    """Hold each leaf of the updates to 1e-5 of its norm."""
    trees = [jax.tree.map(np.array, each.save_state().trees["adapters"]) for each in (training, expected)]
    for ours, theirs in zip(*map(jax.tree.leaves, trees), strict=True):
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)


def test_twin_updates_of_another_scale_are_not_the_same(make_lora, batch_of):
    options = {"optimizer": SGD(learning_rate=0.1), "max_grad_norm": float("inf")}
    trained = [make_lora(alpha=alpha, **options) for alpha in (8.0, 8.0, 8.01)]
    for training in trained:
        training.step(batch_of(0), cross_entropy)
    assert_same_updates(trained[1], trained[0])
    with pytest.raises(AssertionError):
        assert_same_updates(trained[2], trained[0])


def test_updates_lie_as_the_dims_of_their_matrices(make_lora):
    beside = make_lora((1, 2, 2)).save_state().trees["adapters"]["layers"]
    assert tuple(beside["attention"]["query"]["a"].sharding.spec) == (None, "fsdp", None)
    assert tuple(beside["attention"]["query"]["b"].sharding.spec) == (None, None, "tp", None)
    assert tuple(beside["attention"]["out"]["a"].sharding.spec) == (None, "tp", None, None)
    assert tuple(beside["mlp"]["down"]["b"].sharding.spec) == (None, None, "fsdp")


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32")])
@pytest.mark.parametrize("mesh_shape", [(1, 1), (1, 2, 2)], ids=str)
def test_a_saved_state_continues_bit_for_bit(make_lora, batch_of, assert_bit_equal, dtypes, mesh_shape):
    def make():
        return make_lora(mesh_shape, dtypes=dtypes, dora=True)

    uninterrupted, resumed = make(), make()
    uninterrupted.step(batch_of(0), cross_entropy)
    snapshot = uninterrupted.save_state()
    restored, masters = restored_from(snapshot), jax.tree.map(np.array, snapshot.trees["adapters"])
    resumed.step(batch_of(5), cross_entropy)
    resumed.load_state(restored)
    assert_bit_equal(resumed.weights().tree, uninterrupted.weights().tree)
    for seed in (1, 2):
        expected = uninterrupted.step(batch_of(seed), cross_entropy).statistics
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy).statistics, expected)
    assert_bit_equal(resumed.save_state().trees, uninterrupted.save_state().trees)
    elsewhere = make_lora((2, 2), dtypes=dtypes, dora=True)
    elsewhere.load_state(restored)
    assert_bit_equal(elsewhere.save_state().trees["adapters"], masters)


def test_other_parameters_are_trained_on_with_fresh_updates(make_lora, batch_of, assert_bit_equal):
    training = make_lora()
    training.step(batch_of(0), cross_entropy)
    moved = jax.tree.map(np.array, training.weights().tree)
    training.load_weights(moved)
    assert_bit_equal(training.weights().tree, moved)


def test_scores_of_the_updates_beside_the_matrices_are_those_of_the_merged_ones(
    make_lora, make_training, batch_of
):
    training, whole = make_lora(), make_training()
    for seed in range(3):
        training.step(batch_of(seed), cross_entropy)
    before = whole.score(batch_of(0), ["logprobs"])["logprobs"]
    whole.load_weights(training.weights().tree)
    ours, theirs = (each.score(batch_of(0), ["logprobs"])["logprobs"] for each in (training, whole))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.abs(before - theirs).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ("layers/nothing",)}, "targets: 'layers/nothing' matches no matrix of the layers"),
        ({"targets": ("embed",)}, "targets: 'embed' matches no matrix of the layers; there are layers/"),
        ({"trainable": ("nothing",)}, "trainable: 'nothing' matches no parameter; there are embed"),
        (
            {"targets": ("layers/mlp",), "trainable": ("layers/mlp/up",)},
            "targets: 'layers/mlp/up' is named by trainable too; take it out of one of them",
        ),
        (
            {"trainable": ("layers/mlp",), "frozen": ("layers/mlp/up",)},
            "trainable: frozen names 'layers/mlp/up' too; leave it to one of them",
        ),
        ({"targets": ()}, "targets: no matrix would be adapted, .* or set training=jax, whose frozen"),
        ({"trainable": ("layers",)}, "targets: no matrix would be adapted"),
        ({"frozen": ("adapters",)}, "freezes every parameter"),
        ({"rank": 0}, "rank=0 is out of range; legal: 1 or more"),
        ({"alpha": 0.0}, "alpha=0.0 is out of range"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(make_lora, model, options, message):
    """They are by `check` too, before anything is built."""
    with pytest.raises(ConfigError, match=message):
        make_lora(**options)
    with pytest.raises(ConfigError, match=message):
        LoRA(**options).check(8, MeshConfig(), lambda: model)


def test_a_matrix_that_is_taken_out_of_one_of_the_two_is_adapted_or_trained(make_lora):
    make_lora(targets=("layers/mlp/gate",), trainable=("layers/mlp/up",))
    make_lora(targets=("layers/mlp",))
    make_lora(trainable=("layers/mlp/gate",), frozen=("layers/mlp/up",))


def test_a_model_whose_every_matrix_is_trained_needs_no_updates(make_training, batch_of):
    training = make_training(frozen=("embed",))
    training.step(batch_of(0), cross_entropy)
    assert "adapters" not in training.save_state().trees
