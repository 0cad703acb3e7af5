"""From records to token ids: prompts and completions, through a chat template where there is one."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.llm.tokenizer import Tokenizer
from burnish.platform.errors import DataError


def render(tokenizer: Tokenizer, record: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Return the ids of a demonstration's prompt and of its completion, the end token included.

    The two are tokenized apart, as an engine sees them: a prompt's ids never depend on what follows. The
    completion is `completion`, or the last message when that is the assistant's.
    """
    completion, messages = record.get("completion"), messages_of(record)
    if completion is None and messages is not None and (answer := _answer(messages)) is not None:
        prompt, completion = tokenizer.render_chat(messages[:-1]), answer
    else:
        prompt = render_prompt(tokenizer, record)
    if not isinstance(completion, str):
        raise DataError(
            f"record with columns {sorted(record)} has no text to learn: "
            "give it `completion`, or `messages` that end with the assistant's"
        )
    return prompt, [*tokenizer.encode(completion), tokenizer.eos_token_ids[0]]


def render_prompt(tokenizer: Tokenizer, record: Mapping[str, Any]) -> list[int]:
    """Return the ids of what a completion is asked for.

    `messages`, or a `prompt` that is a list of them, go through the chat template as `prompt_messages` has
    them. A `prompt` that is a text is one message of the user where there is a template, and plain text where
    there is none.
    """
    messages = messages_of(record)
    if messages is not None:
        return tokenizer.render_chat(prompt_messages(messages))
    prompt = record.get("prompt")
    if not isinstance(prompt, str):
        raise DataError(
            f"record with columns {sorted(record)} has no prompt: give it `prompt` (text) or `messages`"
        )
    if tokenizer.chat_template is None:
        return tokenizer.encode(prompt)
    return tokenizer.render_chat([{"role": "user", "content": prompt}])


def prompt_messages(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return what is to be answered.

    Of a conversation that the assistant ends that is all up to the user's last turn. One that
    somebody else ends, such as a tool, is all to be answered.
    """
    if _answer(messages) is None:
        return messages
    last = max((place for place, each in enumerate(messages) if each.get("role") == "user"), default=None)
    return messages[:-1] if last is None else messages[: last + 1]


def messages_of(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """Return a record's conversation, `messages` or a `prompt` that is a list; None where it has none."""
    messages, prompt = record.get("messages"), record.get("prompt")
    return prompt if messages is None and isinstance(prompt, list) else messages


def _answer(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the assistant's last message when the conversation ends with it."""
    if not messages:
        raise DataError("a record's `messages` are empty: give at least one of the user")
    if not isinstance(messages, Sequence) or not all(isinstance(each, Mapping) for each in messages):
        raise DataError("a record's `messages` are no list of mappings: give each a `role` and `content`")
    last = messages[-1]
    return last.get("content") if last.get("role") == "assistant" else None
