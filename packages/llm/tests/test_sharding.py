import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from burnish.llm.config.family import Qwen2
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.sharding import (
    batch_sharding,
    parameter_shardings,
    partition_spec,
    replicated,
)


def test_a_matrix_is_split_by_the_table(mesh):
    spec = partition_spec(("layers", "embed", "mlp"), (2, 32, 48), mesh(fsdp=2, tp=4))
    assert spec == PartitionSpec(None, ("fsdp",), ("tp",))


def test_experts_are_spread_over_fsdp_and_each_is_split_by_tp(mesh):
    axes, both = ("layers", "experts", "embed", "mlp"), mesh(fsdp=2, tp=2)
    assert partition_spec(axes, (2, 8, 32, 48), both) == PartitionSpec(None, ("fsdp",), None, ("tp",))
    assert partition_spec(axes, (2, 7, 32, 48), both) == PartitionSpec(None, None, ("fsdp",), ("tp",))


def test_a_dim_that_does_not_divide_stays_whole(mesh):
    spec = partition_spec(("embed", "kv_heads", "head_dim"), (32, 2, 8), mesh(fsdp=2, tp=4))
    assert spec == PartitionSpec(("fsdp",), None, None)


def test_a_mesh_axis_splits_one_dim_only(mesh):
    assert partition_spec(("embed", "embed"), (8, 8), mesh(fsdp=2)) == PartitionSpec(("fsdp",), None)


def test_axes_that_do_not_fit_the_shape_are_refused(mesh):
    with pytest.raises(ValueError, match="2 dims"):
        partition_spec(("embed", "mlp"), (8,), mesh())


def test_rows_of_a_batch_lie_over_dp_and_fsdp(mesh):
    sharding = batch_sharding(mesh(dp=2, fsdp=4))
    assert sharding.shard_shape((16, 5)) == (2, 5)


def test_replicated_is_whole_on_each_device(mesh):
    assert replicated(mesh(fsdp=2)).shard_shape((4, 4)) == (4, 4)


@pytest.fixture(scope="module")
def one_device():
    """Hold the logits of one device between the meshes that are compared with it."""
    return {}


@pytest.fixture
def case(hf_config, scaled_params, logits_of, one_device):
    model = Qwen2().build(
        FamilyContext(hf_config={**hf_config, "tie_word_embeddings": False, "vocab_size": 64})
    )
    params = scaled_params(model)
    tokens = np.random.default_rng(0).integers(0, 64, (8, 7)).astype(np.int32)
    if "logits" not in one_device:
        one_device["logits"] = logits_of(model, params, tokens)
    return model, params, tokens, one_device["logits"]


def sharded_logits(model, params, tokens, mesh):
    params = jax.device_put(params, parameter_shardings(model, mesh))
    positions, segments = np.tile(np.arange(7, dtype=np.int32), (8, 1)), np.ones((8, 7), np.int32)
    batch = jax.device_put((tokens, positions, segments), batch_sharding(mesh))

    @jax.jit
    def logits(params, tokens, positions, segment_ids):
        hidden = model.forward(params, tokens, positions, segment_ids).hidden
        return model.head(params).logits(hidden)

    return np.asarray(logits(params, *batch))


@pytest.mark.parametrize(
    "axes",
    [{"dp": 2}, {"fsdp": 2}, {"fsdp": 4}, {"fsdp": 8}, {"dp": 2, "fsdp": 2, "tp": 2}, {"tp": 4}],
    ids=str,
)
def test_logits_over_devices_are_those_of_one_device(case, mesh, assert_same_logits, axes):
    model, params, tokens, expected = case
    assert_same_logits(sharded_logits(model, params, tokens, mesh(**axes)), expected)


def test_logits_with_one_lost_shard_are_others(case, mesh, assert_same_logits):
    model, params, tokens, expected = case
    up = params["layers"]["mlp"]["up"].copy()
    up[:, 28:] = 0
    layers = {**params["layers"], "mlp": {**params["layers"]["mlp"], "up": up}}
    with pytest.raises(AssertionError):
        assert_same_logits(
            sharded_logits(model, {**params, "layers": layers}, tokens, mesh(fsdp=8)), expected
        )


def test_parameters_over_eight_devices_are_an_eighth_on_each(case, mesh):
    model, params, _, _ = case
    placed = jax.device_put(params, parameter_shardings(model, mesh(fsdp=8)))
    up = placed["layers"]["mlp"]["up"]
    assert up.addressable_shards[0].data.size * 8 == up.size
