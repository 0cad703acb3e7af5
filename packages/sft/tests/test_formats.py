import numpy as np
import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.platform.errors import DataError
from burnish.sft.formats import encode

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


def test_a_long_completion_loses_its_tail_and_is_counted(records):
    demonstrations = encode(records(("ab", "cdef"), ("ab", "c")), TOKENIZER, 4, "stages.sft")
    np.testing.assert_array_equal(demonstrations[0].tokens, [*b"abcd"])
    np.testing.assert_array_equal(demonstrations[1].tokens, [*b"abc", EOS])
    assert demonstrations.num_truncated == 1
    assert demonstrations.longest == 4


@pytest.mark.parametrize(("prompt", "max_length"), [("abcd", 4), ("abcdef", 4)])
def test_a_prompt_that_leaves_no_room_is_refused(records, prompt, max_length):
    with pytest.raises(DataError) as refused:
        encode(records(("a", "b"), (prompt, "c")), TOKENIZER, max_length, "stages.sft_2")
    assert str(refused.value) == (
        f"stages.sft_2.data: record 1 has no supervised token: its prompt has {len(prompt)} tokens and "
        "stages.sft_2.max_length is 4; mend the record, or raise stages.sft_2.max_length"
    )


def test_a_record_without_a_text_to_learn_is_refused(records):
    source = records(("a", "b"))
    del source.rows[0]["completion"]
    with pytest.raises(DataError, match="has no text to learn"):
        encode(source, TOKENIZER, 8, "stages.sft")
