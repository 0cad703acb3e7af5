"""Records from a file with one JSON object per line, checked line by line before anything is trained on."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from burnish.platform.data.source import Record
from burnish.platform.errors import DataError


@dataclass(frozen=True)
class _Fields:
    """Which keys of a line become which columns of a record, and which of them must be there."""

    prompt: str
    completion: str
    answer: str
    answer_pattern: str | None
    needs_completion: bool


MESSAGES = "messages"
"""The key of a whole conversation, which is found by itself."""

_DEFAULTS = ("prompt", "completion")
"""The keys that are looked for where no others are named; in the place of the first may stand messages."""

_FORMS = (
    ", and understood are 'prompt' and 'completion', each a text or a list of messages, or 'messages', which "
    "end with the assistant's where they demonstrate"
)

_JSON_TYPES: dict[type, str] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a truth value",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


class JsonlSource:
    """The lines of one file by index; only their offsets stay in memory."""

    def __init__(self, path: Path, fields: _Fields, option: str) -> None:
        """Read and check the whole file once; `DataError` names file and line of what cannot be used.

        `option` is the one that names the file.
        """
        self._path = path
        self._fields = fields
        self._spans: list[tuple[int, int]] = []
        digest = hashlib.sha256(repr(fields).encode())
        self._numbers: list[int] = []
        try:
            with path.open("rb") as file:
                self._index(file, digest.update)
        except OSError as error:
            raise DataError(
                f"{option}='{path}' cannot be read: {error.strerror}; name a file with a JSON object per line"
            ) from error
        if not self._spans:
            raise DataError(f"{option}='{path}' is empty; name a file with a JSON object per line")
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of lines that are not blank."""
        return len(self._spans)

    def __getitem__(self, index: int) -> Record:
        """Return the record at `index`, with every other column of its line."""
        offset, size = self._spans[index]
        with self._path.open("rb") as file:
            file.seek(offset)
            return self._record(file.read(size), self._numbers[index])

    def _index(self, file: BinaryIO, digest: Callable[[bytes], None]) -> None:
        offset = 0
        for number, line in enumerate(file, start=1):
            digest(line)
            if line.strip():
                self._record(line, number)
                self._spans.append((offset, len(line)))
                self._numbers.append(number)
            offset += len(line)

    def _record(self, line: bytes, number: int) -> Record:
        where, fields = f"{self._path}:{number}", self._fields
        columns = _parse(line, where)
        prompt = _prompt(columns, fields.prompt, where)
        if columns.get(MESSAGES) is not None:
            _messages(MESSAGES, columns[MESSAGES], where)
        name = MESSAGES if isinstance(prompt, list) else "prompt"
        record: dict[str, Any] = {**columns, name: prompt}
        if fields.completion in columns or (fields.needs_completion and not _is_answered(prompt)):
            turns, completion = _completion(columns, fields.completion, where)
            record["completion"] = columns[fields.completion] = completion
            if turns and isinstance(prompt, list):
                record[MESSAGES] = [*prompt, *turns]
        if fields.answer_pattern is not None:
            record["answer"] = _matched(columns, fields, where)
        elif fields.answer in columns:
            record["answer"] = _answer(columns, fields.answer, where)
        return record


def build_source(
    path: Path,
    *,
    option: str,
    prompt_field: str,
    completion_field: str,
    answer_field: str,
    answer_pattern: str | None,
    needs_completion: bool,
) -> JsonlSource:
    """Return the records of the file that `option` names.

    Only where it demonstrates does each need a completion; a conversation that the assistant ends has one.
    """
    fields = _Fields(
        prompt=prompt_field,
        completion=completion_field,
        answer=answer_field,
        answer_pattern=answer_pattern,
        needs_completion=needs_completion,
    )
    return JsonlSource(path.expanduser(), fields, option)


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        content: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: broken JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: a line must be a JSON object, not {type(content).__name__}")
    if b"\\u" in line:  # only so can half of a pair be written that stands for one character
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: a text holds half of a character: {error.reason}; mend it") from error
    return cast("dict[str, Any]", content)


def _required(columns: dict[str, Any], name: str, option: str, where: str) -> Any:
    if name not in columns:
        forms = _FORMS if name in _DEFAULTS else ""
        raise DataError(f"{where}: no field '{name}'; there is {_names(columns)}{forms}: set data.{option}")
    return columns[name]


def _prompt(columns: dict[str, Any], name: str, where: str) -> str | list[Any]:
    if name in _DEFAULTS and columns.get(name) is None and columns.get(MESSAGES) is not None:
        name = MESSAGES
    prompt = _required(columns, name, "prompt_field", where)
    if isinstance(prompt, list):
        return _messages(name, prompt, where)
    if not isinstance(prompt, str):
        raise _wrong_type(name, prompt, "a text or a list of messages", where)
    return prompt


def _messages(name: str, messages: Any, where: str) -> list[Any]:
    if not isinstance(messages, list):
        raise _wrong_type(name, messages, "a list of messages", where)
    for message in cast("list[object]", messages):
        if not isinstance(message, dict):
            found = _JSON_TYPES[type(message)]
            raise DataError(f"{where}: field '{name}' holds {found}; legal: messages, each an object")
        fields = cast("dict[str, Any]", message)
        if not isinstance(fields.get("role"), str):
            raise DataError(
                f"{where}: field '{name}' holds a message with {_names(fields)}; legal: 'role', a text, and "
                "'content'"
            )
    return cast("list[Any]", messages)


def _completion(columns: dict[str, Any], name: str, where: str) -> tuple[list[Any], str]:
    """Return the text to learn, and the turns before it where the completion is a list of several."""
    if not isinstance(columns.get(name), list):
        return [], _text(columns, name, "completion_field", where)
    *turns, last = _messages(name, columns[name], where) or [{}]
    if last.get("role") != "assistant" or not isinstance(last.get("content"), str):
        raise DataError(
            f"{where}: field '{name}' ends with {_names(last)} of role {last.get('role')!r}; legal: a "
            "message of the assistant whose 'content' is a text"
        )
    return turns, last["content"]


def _is_answered(prompt: str | list[Any]) -> bool:
    return isinstance(prompt, list) and bool(prompt) and prompt[-1].get("role") == "assistant"


def _text(columns: dict[str, Any], name: str, option: str, where: str) -> str:
    text = _required(columns, name, option, where)
    if not isinstance(text, str):
        raise _wrong_type(name, text, "a text or, to imitate, a list of messages", where)
    return text


def _answer(columns: dict[str, Any], name: str, where: str) -> str:
    answer = columns[name]
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise _wrong_type(name, answer, "a text or a number", where)
    return str(answer)


def _wrong_type(name: str, value: object, legal: str, where: str) -> DataError:
    return DataError(f"{where}: field '{name}' is {_JSON_TYPES[type(value)]}; legal: {legal}")


def _matched(columns: dict[str, Any], fields: _Fields, where: str) -> str:
    """Return the first group of the pattern in the completion, or in the answer where there is none."""
    assert fields.answer_pattern is not None, "only called with a pattern"
    name = fields.completion if fields.completion in columns else fields.answer
    if name in columns and name == fields.answer:
        text = _answer(columns, name, where)
    else:
        text = _text(columns, name, "completion_field", where)
    found = re.search(fields.answer_pattern, text)
    if found is None:
        raise DataError(f"{where}: data.answer_pattern={fields.answer_pattern!r} finds nothing in '{name}'")
    return found[1].strip()


def _names(columns: dict[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in columns) or "none"
