"""Families with one fault each, and the test of the kit that finds it."""

import types
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.testing import scaled_params, tiny_qwen2_config
from burnish.llm.testing_family import ModelFamilyTests
from burnish.llm.testing_scores import laid_out, score
from burnish.platform.errors import ComponentError

CONFIG = tiny_qwen2_config(vocab_size=64, num_hidden_layers=1)
MODEL = Qwen2().build(FamilyContext(hf_config=CONFIG))


@dataclass(frozen=True)
class Faulty:
    """A Qwen2 of which `fault` is changed by what stands in the tables below."""

    inner: Any
    fault: str

    def __getattr__(self, name):
        value = getattr(self.inner, name)
        return VALUES[self.fault](value) if self.fault in VALUES and name == self.fault else value

    def forward(self, params, tokens, positions, segment_ids, cache=None, **others):
        given = {"positions": positions, "segment_ids": segment_ids, "cache": cache, **others}
        output = self.inner.forward(params, tokens, **GIVEN.get(self.fault, dict)(given))
        return MADE.get(self.fault, lambda same: same)(output)

    def __hash__(self):
        return hash((self.inner, self.fault))


def without_segments(given):
    return given | {"segment_ids": jnp.ones_like(given["segment_ids"])}


def at_indices(given):
    return given | {
        "positions": jnp.broadcast_to(jnp.arange(given["positions"].shape[1]), given["positions"].shape)
    }


def at_stale_positions(given):
    return given if given["cache"] is None else given | {"positions": given["positions"] - 1}


GIVEN = {
    "segments": without_segments,
    "positions": at_indices,
    "branches": lambda given: given | {"visible_until": None},
    "cache": at_stale_positions,
    "noise": lambda given: given | {"noise": None},
}
"""What a fault makes of the arguments of the forward pass."""

MADE = {
    "causality": lambda output: output._replace(
        hidden=output.hidden + jnp.mean(output.hidden, axis=1, keepdims=True)
    ),
    "dtype": lambda output: output._replace(hidden=output.hidden.astype(jnp.float32)),
}
"""What a fault makes of the outputs of the forward pass."""


def with_two_of_one_name(names):
    return dict(names) | {("layers", "mlp", "up"): names["layers", "mlp", "gate"]}


def with_gate_and_up_swapped(names):
    gate, up = ("layers", "mlp", "gate"), ("layers", "mlp", "up")
    return dict(names) | {gate: names[up], up: names[gate]}


VALUES = {
    "parameter_names": with_two_of_one_name,
    "init": lambda init: lambda seed: init(0),  # noqa: ARG005 - the fault
    "matrices": lambda dims: dict(dims) | {("final_norm",): ((), (0,))},
    "logical_axes": lambda axes: axes | {"final_norm": ()},
}
"""What a fault makes of a member."""


@dataclass(frozen=True)
class Rounding(Faulty):
    """A Qwen2 with positions that it looks up by an operation whose gradient is summed in bfloat16."""

    def forward(self, params, tokens, positions, *others, **more):
        output = super().forward(params, tokens, positions, *others, **more)
        return output._replace(hidden=output.hidden + 4 * params["embed"][positions])


@dataclass(frozen=True)
class Swapped(Faulty):
    """A Qwen2 whose checkpoint has two matrices the wrong way round."""

    @property
    def parameter_names(self):
        return with_gate_and_up_swapped(self.inner.parameter_names)


@dataclass(frozen=True)
class Rematerialized:
    """A family that computes another model where it is rematerialized."""

    def match(self, hf_config):  # noqa: ARG002 - the fault
        return True

    def build(self, context):
        model = Qwen2().build(context)
        return model if context.compute.remat == "none" else Faulty(model, "causality")


class Kit(ModelFamilyTests):
    """The tests as functions; none is collected from here."""

    __test__ = False
    family = Rematerialized()
    configs = types.MappingProxyType({"tiny": CONFIG})


BRANCHES = "branches, padded on the left"
KIT, PARAMS = Kit(), scaled_params(MODEL)


@pytest.fixture(scope="module")
def scored():
    return score(MODEL, PARAMS, laid_out())


@pytest.mark.parametrize(
    ("fault", "layout"),
    [("segments", "packed"), ("positions", BRANCHES), ("branches", BRANCHES)],
)
def test_twin_a_model_that_mixes_the_samples_of_a_row(scored, fault, layout):
    with pytest.raises(AssertionError):
        KIT.test_layouts_of_a_batch_give_one_loss(Faulty(MODEL, fault), PARAMS, scored, layout)


def test_twin_a_model_that_looks_ahead():
    with pytest.raises(AssertionError):
        KIT.test_a_token_changes_nothing_before_it(Faulty(MODEL, "causality"), PARAMS)


def test_twin_a_cache_at_stale_positions():
    with pytest.raises(AssertionError):
        KIT.test_decoding_with_a_cache_gives_the_logits_of_the_full_pass(Faulty(MODEL, "cache"), PARAMS)


def test_twin_a_model_without_dropout():
    with pytest.raises(AssertionError):
        KIT.test_dropout_is_a_function_of_the_step_and_the_sample(Faulty(MODEL, "noise"), PARAMS)


def test_twin_a_model_that_computes_in_fp32():
    with pytest.raises(AssertionError):
        KIT.test_bfloat16_parameters_give_bfloat16_near_fp32(Faulty(MODEL, "dtype"), PARAMS)


def test_twin_sums_over_tokens_in_bfloat16():
    with pytest.raises(AssertionError, match="embed"):
        KIT.test_bfloat16_gradients_keep_what_is_added_late(Rounding(MODEL, ""), PARAMS)


def test_twin_another_model_where_it_is_rematerialized(scored):
    with pytest.raises(AssertionError):
        KIT.test_rematerialization_and_unrolling_give_one_loss(CONFIG, PARAMS, scored, {"remat": "full"})


def test_twin_two_leaves_of_one_name(tmp_path):
    with pytest.raises(ComponentError, match=r"gate_proj\.weight` rows that do not follow .*: all, all"):
        KIT.test_what_is_written_is_read_bit_by_bit(
            Faulty(MODEL, "parameter_names"), PARAMS, "float32", tmp_path
        )


def test_twin_two_matrices_the_wrong_way_round(tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(AssertionError):
        KIT.test_transformers_gives_the_logits_of_what_is_written(Swapped(MODEL, ""), PARAMS, tmp_path)


def test_twin_a_leaf_that_is_not_felt():
    unfelt = replace(MODEL, shape=replace(MODEL.shape, norm=replace(MODEL.shape.norm, eps=1e9)))
    with pytest.raises(AssertionError):
        KIT.test_every_parameter_is_felt(unfelt, PARAMS)


def test_twin_axes_of_another_rank():
    with pytest.raises(AssertionError):
        KIT.test_trees_of_a_model_have_the_same_leaves(Faulty(MODEL, "logical_axes"))


def test_twin_a_norm_among_the_matrices():
    with pytest.raises(AssertionError):
        KIT.test_matrices_are_the_tensors_of_two_dims(Faulty(MODEL, "matrices"))


def test_twin_parameters_that_ignore_the_seed():
    with pytest.raises(AssertionError):
        KIT.test_fresh_parameters_are_a_function_of_the_seed(Faulty(MODEL, "init"))


def test_twin_a_family_that_matches_everything():
    with pytest.raises(AssertionError):
        KIT.test_a_config_is_matched_kept_and_makes_equal_models(MODEL, CONFIG)


def test_twin_devices_that_lose_a_part(scored):
    up = PARAMS["layers"]["mlp"]["up"].copy()
    up[:, :, 24:] = 0
    layers = PARAMS["layers"] | {"mlp": PARAMS["layers"]["mlp"] | {"up": up}}
    with pytest.raises(AssertionError):
        KIT.test_devices_give_one_loss(MODEL, PARAMS | {"layers": layers}, scored, "two devices")
