import json

import pytest

from burnish.platform.data.config import Jsonl
from burnish.platform.data.source import DataContext
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast

_ROWS = [
    {"question": "1+1?", "solution": "two\n#### 2", "id": 7},
    {"question": "2+2? é", "solution": "four\n#### 4", "id": 8},
]


@pytest.fixture
def write(tmp_path):
    def write(content, name="d.jsonl"):
        path = tmp_path / name
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def _config(path, **options):
    fields = {"prompt_field": "question", "completion_field": "solution", "answer_pattern": "#### (.+)"}
    return Jsonl(path=path, **{**fields, **options})


def test_records_have_their_fields_renamed_and_other_columns_kept(write):
    source = _config(write(_ROWS)).build(DataContext(split="demonstrations"))
    assert len(source) == 2
    assert source[1] == {
        **_ROWS[1], "prompt": "2+2? é", "completion": "four\n#### 4", "answer": "4"
    }  # fmt: skip


def test_blank_lines_are_skipped_and_still_counted(write):
    first, second = (json.dumps(row, ensure_ascii=False) for row in _ROWS)
    source = _config(write(f"{first}\n\n{second}")).build(DataContext(split="prompts"))
    assert [source[0]["id"], source[1]["id"]] == [7, 8]
    with pytest.raises(DataError, match=r"d\.jsonl:3: broken JSON"):
        _config(write(f"{first}\n\n{{oops\n")).build(DataContext(split="prompts"))


def test_messages_as_a_prompt_keep_their_list(write):
    messages = [{"role": "user", "content": "hi"}]
    source = Jsonl(path=write([{"prompt": messages, "completion": "x"}])).build(
        DataContext(split="demonstrations")
    )
    assert source[0]["messages"] == messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("[1]\n", r":1: a line must be a JSON object, not list"),
        ('{"question": "a", "text": "b"}\n', r":1: no field 'solution'; there is 'question', 'text'"),
        ('{"text": "b"}\n', r":1: no field 'question'; there is 'text': set data.prompt_field"),
        ('{"question": "a", "solution": "4"}\n', r":1: data.answer_pattern='#### \(\.\+\)' finds nothing"),
    ],
)
def test_lines_that_cannot_be_used_are_named(write, content, said):
    with pytest.raises(DataError, match=said):
        _config(write(content)).build(DataContext(split="demonstrations"))


def test_a_completion_is_needed_in_demonstrations_only(write):
    config = Jsonl(path=write([{"prompt": "a", "answer": 3}]))
    assert config.build(DataContext(split="prompts"))[0]["answer"] == "3"
    with pytest.raises(DataError, match="no field 'completion'"):
        config.build(DataContext(split="demonstrations"))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prompt": 3}, "field 'prompt' is a number; legal: a text or a list of messages"),
        ({"prompt": None}, "field 'prompt' is null; legal: a text or a list of messages"),
        ({"prompt": ["hi"]}, "field 'prompt' holds a text; legal: messages, each an object"),
        (
            {"prompt": [{"content": "x"}]},
            "holds a message with 'content'; legal: 'role', a text",
        ),
        (
            {"completion": 3},
            "'completion' is a number; legal: a text or, to imitate, a list of messages",
        ),
        ({"completion": ["x"]}, "field 'completion' holds a text; legal: messages, each an object"),
        (
            {"completion": []},
            "'completion' ends with none of role None; legal: a message of the assistant",
        ),
        (
            {"completion": [{"role": "user", "content": "x"}]},
            "ends with 'role', 'content' of role 'user'; legal: a message of the assistant",
        ),
        (
            {"completion": [{"role": "assistant", "content": None}]},
            "of role 'assistant'; legal: a message of the assistant whose 'content' is a text",
        ),
        ({"answer": {"value": 3}}, "field 'answer' is an object; legal: a text or a number"),
        ({"answer": True}, "field 'answer' is a truth value; legal: a text or a number"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(write, columns, said):
    good = {"prompt": "a", "completion": "x", "answer": 3.5}
    source = Jsonl(path=write([good])).build(DataContext(split="demonstrations"))
    assert source[0]["answer"] == "3.5"
    with pytest.raises(DataError, match=r"d\.jsonl:2: ") as caught:
        Jsonl(path=write([good, {**good, **columns}])).build(DataContext(split="demonstrations"))
    assert said in str(caught.value)


def test_a_pattern_searches_texts_only(write):
    config = Jsonl(path=write([{"prompt": "a", "completion": 4}]), answer_pattern="(.)")
    with pytest.raises(DataError, match=r"d\.jsonl:1: field 'completion' is a number; legal: a text"):
        config.build(DataContext(split="prompts"))


@pytest.mark.parametrize(
    ("messages", "is_enough"),
    [
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}], True),
        ([{"role": "user", "content": "hi"}], False),
        ([], False),
    ],
)
def test_a_conversation_that_the_assistant_ends_needs_no_completion(write, messages, is_enough):
    config = Jsonl(path=write([{"messages": messages}]), prompt_field="messages")
    if is_enough:
        assert config.build(DataContext(split="demonstrations"))[0] == {"messages": messages}
    else:
        with pytest.raises(DataError, match="no field 'completion'"):
            config.build(DataContext(split="demonstrations"))


USER, TOOL, ANSWER = ({"role": role, "content": role[0]} for role in ("user", "tool", "assistant"))


@pytest.mark.parametrize("split", ["demonstrations", "prompts"])
@pytest.mark.parametrize("extra", [{}, {"prompt": None}])
def test_messages_are_found_by_themselves(write, split, extra):
    rows = [{"messages": [USER, ANSWER], **extra}, {"prompt": "a", "completion": "x"}]
    source = Jsonl(path=write(rows)).build(DataContext(split=split))
    assert source[0]["messages"] == [USER, ANSWER]
    assert source[1]["prompt"] == "a"


def test_twin_messages_in_the_place_of_another_field_are_not(write):
    config = Jsonl(path=write([{"messages": [USER, ANSWER]}]), prompt_field="question")
    with pytest.raises(DataError, match=r"d\.jsonl:1: no field 'question'; there is 'messages': set data"):
        config.build(DataContext(split="prompts"))


@pytest.mark.parametrize(
    ("prompt", "completion", "read"),
    [
        ([USER], [ANSWER], {"messages": [USER], "completion": "a"}),
        ([USER], "x", {"messages": [USER], "completion": "x"}),
        ([USER], [ANSWER, TOOL, ANSWER], {"messages": [USER, ANSWER, TOOL], "completion": "a"}),
        ("p", [ANSWER], {"prompt": "p", "completion": "a"}),
    ],
)
def test_prompt_and_completion_may_be_messages(write, prompt, completion, read):
    source = Jsonl(path=write([{"prompt": prompt, "completion": completion}])).build(
        DataContext(split="demonstrations")
    )
    assert {name: source[0][name] for name in read} == read


def test_a_pattern_searches_the_last_message_of_a_completion(write):
    rows = [{"prompt": [USER], "completion": [{"role": "assistant", "content": "so #### 7"}]}]
    config = Jsonl(path=write(rows), answer_pattern="#### (.+)")
    assert config.build(DataContext(split="prompts"))[0]["answer"] == "7"


def test_a_record_of_no_known_form_says_what_it_has_and_what_is_understood(write):
    config = Jsonl(path=write([{"prompt": "a", "completion": "b"}, {"conversations": [], "id": 3}]))
    with pytest.raises(DataError) as caught:
        config.build(DataContext(split="demonstrations"))
    assert str(caught.value).endswith(
        "d.jsonl:2: no field 'prompt'; there is 'conversations', 'id', and understood are 'prompt' and "
        "'completion', each a text or a list of messages, or 'messages', which end with the assistant's "
        "where they demonstrate: set data.prompt_field"
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data\.path='.*none\.jsonl' cannot be read: No such file"):
        Jsonl(path=str(tmp_path / "none.jsonl")).build(DataContext(split="prompts"))


def test_splits_are_those_with_a_file(write):
    config = _config(write(_ROWS), test_path=write(_ROWS[:1], "t.jsonl"))
    assert config.splits() == ("demonstrations", "prompts", "test")
    assert len(config.build(DataContext(split="test"))) == 1
    with pytest.raises(DataError, match=r"no split 'validation'.*set data.validation_path"):
        config.build(DataContext(split="validation"))


def test_the_fingerprint_follows_content_and_fields_but_not_the_path(write):
    def fingerprint(path, **options):
        return _config(path, **options).build(DataContext(split="prompts")).fingerprint

    same = fingerprint(write(_ROWS))
    assert fingerprint(write(_ROWS, "other.jsonl")) == same
    assert fingerprint(write(_ROWS[:1], "less.jsonl")) != same
    assert fingerprint(write(_ROWS), answer_pattern="#### (.)") != same
