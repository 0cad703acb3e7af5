import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.token_limit import token_limit
from burnish.platform.errors import DataError
from burnish.rl.prompts import prompts_that_fit

pytestmark = pytest.mark.fast

TOKENIZER = ByteTokenizer()
STAGE = "stages.rl"


def limit(tokens):
    return token_limit(f"{STAGE}.max_prompt_tokens", tokens, None)


def test_prompts_that_are_too_long_are_left_out_and_the_rest_keep_their_order(records):
    prompts = prompts_that_fit(records("abc", "abcdef", "a", "abcd"), TOKENIZER, limit(4), STAGE)
    assert [prompts[index]["prompt"] for index in range(len(prompts))] == ["abc", "a", "abcd"]
    assert prompts.longest == 4


def test_all_prompts_fit_when_there_is_room(records):
    source = records("abc", "abcdef")
    prompts = prompts_that_fit(source, TOKENIZER, limit(6), STAGE)
    assert (len(prompts), prompts.longest) == (2, 6)


def test_fingerprint_follows_which_prompts_fit(records):
    source = records("abc", "abcdef", "a")
    fingerprints = {prompts_that_fit(source, TOKENIZER, limit(most), STAGE).fingerprint for most in (1, 3, 6)}
    assert len(fingerprints) == 3


def test_no_prompt_that_fits_is_refused_with_the_shortest(records):
    with pytest.raises(
        DataError, match=r"no prompt has stages.rl.max_prompt_tokens=2 tokens or fewer.*shortest has 3"
    ):
        prompts_that_fit(records("abc", "abcdef"), TOKENIZER, limit(2), STAGE)


def test_empty_prompts_are_left_out_and_counted_apart(records):
    prompts = prompts_that_fit(records("abc", "", "a"), TOKENIZER, limit(4), STAGE)
    assert [prompts[index]["prompt"] for index in range(len(prompts))] == ["abc", "a"]
    assert prompts.left_out == "1 of 3 prompts are empty and are left out"
    with pytest.raises(DataError, match=r"^stages\.rl\.data: every prompt is empty; give the records a text"):
        prompts_that_fit(records("", ""), TOKENIZER, limit(4), STAGE)
    with pytest.raises(DataError, match=r"there are no records; choose another stages\.rl\.split"):
        prompts_that_fit(records(), TOKENIZER, limit(4), STAGE)


def test_twin_nothing_is_said_where_all_prompts_fit(records):
    assert prompts_that_fit(records("abc", "a"), TOKENIZER, limit(4), STAGE).left_out is None
