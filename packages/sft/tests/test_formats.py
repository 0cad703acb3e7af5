import numpy as np
import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.platform.errors import DataError
from burnish.sft.formats import encode, told

pytestmark = pytest.mark.fast

TOKENIZER = ByteTokenizer()
EOS = TOKENIZER.eos_token_ids[0]


def test_loss_is_on_the_completion_and_its_end(records):
    demonstrations = encode(records(("ab", "cd")), TOKENIZER, 16, "stages.sft")
    (sample,) = demonstrations.samples
    np.testing.assert_array_equal(sample.tokens, [*b"abcd", EOS])
    np.testing.assert_array_equal(sample.columns["loss_weights"], [0, 0, 1, 1, 1])
    assert sample.num_trained_tokens == 3
    assert sample.record["answer"] == "cd"


def test_twin_text_moved_from_prompt_to_completion_is_trained_on(records):
    """Equal tokens, another border: the mask is what tells them apart."""
    first, second = encode(records(("ab", "cd"), ("a", "bcd")), TOKENIZER, 16, "stages.sft").samples
    np.testing.assert_array_equal(first.tokens, second.tokens)
    assert first.num_trained_tokens != second.num_trained_tokens


def test_demonstrations_are_a_source_in_the_order_of_the_records(records):
    source = records(("a", "b"), ("c", "defg"))
    demonstrations = encode(source, TOKENIZER, 16, "stages.sft")
    assert len(demonstrations) == 2
    assert bytes(demonstrations[1].tokens[:-1].tolist()) == b"cdefg"
    assert demonstrations.longest == 6
    assert demonstrations.num_truncated == 0
    assert demonstrations.fingerprint == source.fingerprint


def test_the_fingerprint_follows_what_is_cut_and_left_out(records):
    source = records(("a", "b"), ("c", "defg"), ("hijk", "l"))
    bounds = (None, 9, 6, 5, 4, 4)
    prints = [
        encode(source, TOKENIZER, 9, "stages.sft", positions=positions).fingerprint for positions in bounds
    ]
    assert prints[:3] == [source.fingerprint] * 3
    assert len(set(prints[2:5])) == 3
    assert prints[5] == prints[4]


def test_a_long_completion_loses_its_tail_and_is_counted(records):
    demonstrations = encode(records(("ab", "cdef"), ("ab", "c")), TOKENIZER, 4, "stages.sft")
    np.testing.assert_array_equal(demonstrations[0].tokens, [*b"abcd"])
    np.testing.assert_array_equal(demonstrations[1].tokens, [*b"abc", EOS])
    assert demonstrations.num_truncated == 1
    assert demonstrations.longest == 4


@pytest.mark.parametrize("prompt", ["abcd", "abcdef" * 1000])
@pytest.mark.parametrize(("max_length", "positions"), [(4, None), (9, 4), (4, 9)])
def test_a_prompt_that_leaves_no_room_is_left_out_and_counted(records, prompt, max_length, positions):
    source = records(("a", "b"), (prompt, "c"), ("abc", "def"))
    demonstrations = encode(source, TOKENIZER, max_length, "stages.sft", positions=positions)
    assert [bytes(sample.tokens[:-1].tolist()) for sample in demonstrations.samples] == [b"ab", b"abc"]
    assert (demonstrations.num_left_out, demonstrations.num_truncated, demonstrations.longest) == (1, 1, 4)


def test_all_left_out_is_refused_with_the_shortest(records):
    with pytest.raises(DataError) as refused:
        encode(records(("abcdef", "b"), ("abcd", "c")), TOKENIZER, 4, "stages.sft_2")
    assert str(refused.value) == (
        "stages.sft_2.data: no prompt leaves room for a token to learn within stages.sft_2.max_length=4 "
        "tokens (the shortest has 4 tokens); raise stages.sft_2.max_length"
    )
    assert len(encode(records(("abcdef", "b"), ("abcd", "c")), TOKENIZER, 5, "stages.sft_2")) == 1


def test_what_is_too_long_is_told_in_one_line(records):
    cut = encode(records(("a", "b"), ("abcd", "c"), ("ab", "cdef")), TOKENIZER, 4, "stages.sft")
    assert told(cut) == (
        "2 of 3 demonstrations are longer than stages.sft.max_length=4 tokens: 1 lose their tail, 1 are left "
        "out, as their prompts leave no room; raise stages.sft.max_length"
    )
    assert told(encode(records(("a", "b")), TOKENIZER, 4, "stages.sft")) is None


def test_an_empty_prompt_is_left_out_and_counted_apart(records):
    some = encode(records(("a", "b"), ("", "c")), TOKENIZER, 4, "stages.sft")
    assert (len(some), some.num_empty, some.num_left_out) == (1, 1, 0)
    assert told(some) == "1 of 2 demonstrations have an empty prompt and are left out"
    both = encode(records(("a", "b"), ("", "c"), ("abcd", "e")), TOKENIZER, 4, "stages.sft")
    assert told(both) == (
        "1 of 3 demonstrations are longer than stages.sft.max_length=4 tokens: 0 lose their tail, 1 are left "
        "out, as their prompts leave no room, 1 more are left out, as their prompts are empty; "
        "raise stages.sft.max_length"
    )
    with pytest.raises(
        DataError, match=r"^stages\.sft\.data: every prompt is empty; give the records a text"
    ):
        encode(records(("", "b")), TOKENIZER, 4, "stages.sft")
    with pytest.raises(DataError, match=r"there are no records; choose another stages\.sft\.split"):
        encode(records(), TOKENIZER, 4, "stages.sft")


def test_a_record_without_a_text_to_learn_is_refused(records):
    source = records(("a", "b"))
    del source.rows[0]["completion"]
    with pytest.raises(DataError, match="has no text to learn"):
        encode(source, TOKENIZER, 8, "stages.sft")
