import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.chat import prompt_messages, render, render_prompt
from burnish.llm.huggingface_tokenizer import HuggingFaceTokenizer
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast

BYTES = ByteTokenizer()
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    """Return a tokenizer whose template writes `role:content;` and then `assistant:`."""
    directory = tmp_path_factory.mktemp("chatty")
    save_tokenizer(BYTES, directory)
    (directory / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    return HuggingFaceTokenizer(directory)


def test_prompt_and_completion_without_a_template_are_plain_text_and_end():
    prompt, completion = render(BYTES, {"prompt": "3+8=", "completion": "#1"})
    assert prompt == [*b"3+8="]
    assert completion == [*b"#1", 256]


def test_a_prompt_with_a_template_is_a_message_of_the_user(chatty):
    assert render_prompt(chatty, {"prompt": "hi"}) == [*b"user:hi;assistant:"]
    assert render_prompt(chatty, {"messages": [USER]}) == [*b"user:hi;assistant:"]


def test_the_assistants_last_message_is_the_completion(chatty):
    record = {"messages": [USER, ASSISTANT, USER, ASSISTANT]}
    prompt, completion = render(chatty, record)
    assert prompt == [*b"user:hi;assistant:yes;user:hi;assistant:"]
    assert completion == [*b"yes", 256]


TOOL = {"role": "tool", "content": "4"}


def test_what_is_asked_ends_with_the_users_last_turn(chatty):
    asked = [USER, ASSISTANT, USER]
    for answer in ([ASSISTANT], [ASSISTANT, TOOL, ASSISTANT], [ASSISTANT, ASSISTANT]):
        assert prompt_messages([*asked, *answer]) == asked
        assert render_prompt(chatty, {"messages": [*asked, *answer]}) == render_prompt(
            chatty, {"messages": asked}
        )


def test_a_conversation_that_the_assistant_does_not_end_is_asked_as_it_is():
    for messages in ([USER], [USER, ASSISTANT, TOOL]):
        assert prompt_messages(messages) == messages
    assert prompt_messages([TOOL, ASSISTANT]) == [TOOL], "without a user, all before the answer"


def test_the_turns_before_an_answer_are_what_it_is_learned_after(chatty):
    prompt, completion = render(chatty, {"messages": [USER, ASSISTANT, TOOL, ASSISTANT]})
    assert prompt == [*b"user:hi;assistant:yes;tool:4;assistant:"]
    assert completion == [*b"yes", 256]


def test_a_prompt_may_be_a_list_of_messages(chatty):
    record = {"prompt": [USER], "completion": "yes"}
    assert render(chatty, record) == render(chatty, {"messages": [USER, ASSISTANT]})


def test_a_prompt_is_the_same_with_and_without_its_completion(chatty):
    record = {"messages": [USER, ASSISTANT]}
    assert render_prompt(chatty, record) == render(chatty, record)[0]


def test_an_end_token_spelled_out_in_a_completion_stays_text():
    assert render(BYTES, {"prompt": "", "completion": "<|endoftext|>"})[1] == [*b"<|endoftext|>", 256]


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"answer": "1"}, "prompt"),
        ({"prompt": "a"}, "completion"),
        ({"prompt": "a", "completion": 5}, "completion"),
        ({"messages": []}, "empty"),
    ],
    ids=str,
)
def test_a_record_without_text_is_refused_by_what_is_missing(record, named):
    with pytest.raises(DataError, match=named):
        render(BYTES, record)


def test_a_conversation_without_an_answer_is_nothing_to_learn(chatty):
    with pytest.raises(DataError, match="assistant"):
        render(chatty, {"messages": [USER]})


def test_messages_need_a_template():
    with pytest.raises(DataError, match="no chat template"):
        render_prompt(BYTES, {"messages": [USER]})
