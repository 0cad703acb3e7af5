"""What bounds the tokens of a record, and how it is said."""

from types import SimpleNamespace

import pytest

from burnish.llm.token_limit import positions_of, token_limit
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("positions", [None, 10, 100])
def test_an_option_bounds_where_the_model_has_as_many_positions(positions):
    limit = token_limit("a.most", 8, positions, reserved=2, reserved_by="a.new")
    assert limit.left_out([1, 9, 8, 99], "prompts") == (
        "2 of 4 prompts are longer than a.most=8 tokens and are left out; raise a.most"
    )
    assert limit.tokens == 8


def test_positions_bound_where_there_are_fewer():
    limit = token_limit("a.most", 8, 9, reserved=2, reserved_by="a.new")
    assert limit.left_out([7, 8, 9], "prompts") == (
        "2 of 3 prompts are longer than the model's 9 positions less a.new=2 and are left out; lower a.new, "
        "or take a model of more positions"
    )
    assert limit.tokens == 7
    alone = token_limit("a.most", 8, 7)
    assert (alone.tokens, alone.bound) == (7, "the model's 7 positions")


def test_positions_that_leave_no_room_are_refused():
    with pytest.raises(ConfigError, match=r"^a\.new=9 leaves no room .* 9 positions; lower it below 9$"):
        token_limit("a.most", 8, 9, reserved=9, reserved_by="a.new")
    assert token_limit("a.most", 8, 9, reserved=8, reserved_by="a.new").tokens == 1


@pytest.mark.parametrize(("config", "positions"), [({"max_position_embeddings": 64}, 64), ({}, None)])
def test_positions_are_those_of_the_config(config, positions):
    assert positions_of(SimpleNamespace(hf_config=config)) == positions


def test_empty_prompts_are_left_out_and_counted_apart():
    limit = token_limit("a.most", 8, None)
    assert [limit.admits(length) for length in (0, 1, 8, 9)] == [False, True, True, False]
    assert limit.left_out([1, 8], "prompts") is None
    assert limit.left_out([0, 1, 0], "prompts") == "2 of 3 prompts are empty and are left out"
    assert limit.left_out([0, 1, 9], "prompts") == (
        "1 of 3 prompts are longer than a.most=8 tokens, 1 are empty, and are left out; raise a.most"
    )


def test_why_no_prompt_is_left_is_told_by_the_shortest_that_is_not_empty():
    limit = token_limit("a.most", 8, None)
    assert limit.none_left([0, 9, 12]) == (
        "no prompt has a.most=8 tokens or fewer (the shortest has 9); raise a.most"
    )
    assert limit.none_left([0, 0]).startswith("every prompt is empty; give the records a text")
