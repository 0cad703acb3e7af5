"""What is said of records and samples that cannot be used, done: it is read out and it works."""

import re

import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes
from burnish.llm.chat import render, render_prompt
from burnish.llm.huggingface_tokenizer import HuggingFaceTokenizer
from burnish.llm.sequence import make_sample
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.platform.errors import DataError
from burnish.platform.testing import named

pytestmark = pytest.mark.fast

MESSAGES = [{"role": "user", "content": "hi"}]
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def said_of(function, *arguments, **options):
    """What is said of arguments that are refused."""
    with pytest.raises(DataError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_a_conversation_without_a_template(tmp_path):
    save_tokenizer(Bytes(), tmp_path)
    for tokenizer in (Bytes(), HuggingFaceTokenizer(tmp_path)):
        message = said_of(render, tokenizer, {"messages": MESSAGES})
        keys = re.search(r"give records `(\w+)` and `(\w+)` as texts, or", message).groups()
        assert render(tokenizer, dict.fromkeys(keys, "a")) == ([97], [97, 256])
    name = named(message, r"or add (\S+) beside it$")
    (tmp_path / "manifest.json").touch()
    recorded = said_of(render, HuggingFaceTokenizer(tmp_path), {"messages": MESSAGES})
    assert named(recorded, r"as texts, or take a (model) that has one$")
    (tmp_path / name).write_text(TEMPLATE)
    assert render_prompt(HuggingFaceTokenizer(tmp_path), {"messages": MESSAGES}) == [*b"hi"]


@pytest.mark.parametrize("choice", [r"(mend) the record", r"or the (template)$"])
def test_a_template_that_does_not_take_a_record(tmp_path, choice):
    save_tokenizer(Bytes(), tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content + '' }}")
    record = {"messages": [{"role": "user", "content": 3}]}
    if named(said_of(render_prompt, HuggingFaceTokenizer(tmp_path), record), choice) == "template":
        (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    else:
        record = {"messages": MESSAGES}
    render_prompt(HuggingFaceTokenizer(tmp_path), record)


@pytest.mark.parametrize(
    ("record", "remedy", "given"),
    [
        ({"prompt": "a"}, r"give it `(completion)`", "b"),
        (
            {"prompt": "a"},
            r"or `(messages)` that end with the assistant's$",
            [*MESSAGES, {"role": "assistant", "content": "b"}],
        ),
        ({"completion": "b"}, r"give it `(prompt)` \(text\)", "a"),
        ({"completion": "b"}, r"or `(messages)`$", MESSAGES),
        (
            {"messages": [], "completion": "b"},
            r"record's `(messages)` are empty: give at least one of the user$",
            MESSAGES,
        ),
        (
            {"messages": [3], "completion": "b"},
            r"`(messages)` are no list .*: give each a `role` and `content`$",
            MESSAGES,
        ),
    ],
)
def test_a_record_without_its_text(tmp_path, record, remedy, given):
    save_tokenizer(Bytes(), tmp_path)
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    tokenizer = HuggingFaceTokenizer(tmp_path)
    name = named(said_of(render, tokenizer, record), remedy)
    render(tokenizer, {**record, name: given})


@pytest.mark.parametrize(
    ("options", "remedy", "better"),
    [
        ({"num_rows": 1}, r"do not fit a batch of 1 rows; (make it larger)$", {"num_rows": 2}),
        ({"length": 3}, r"does not fit rows of 3; (use longer rows)$", {"length": 4}),
        ({"max_sequences": 1}, r"beyond (max_sequences)=1; raise it$", {"max_sequences": 2}),
        ({"max_sequences": 8}, r"cannot hold 8 sequences, .*; (use longer rows)$", {"length": 9}),
    ],
)
def test_samples_that_do_not_fit(options, remedy, better):
    sample = make_sample(np.array([1, 2]), np.array([3, 4]))
    rows = (
        [sample] * 2
        if "num_rows" in options
        else [[sample] * 2]
        if options.get("max_sequences") == 1
        else [sample]
    )
    whole = {"num_rows": 2, "length": 8, "pad_token_id": 0}
    assert named(said_of(make_batch, rows, **{**whole, **options}), remedy)
    make_batch(rows, **{**whole, **options, **better})
