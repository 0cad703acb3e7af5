import json

import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.huggingface_tokenizer import HuggingFaceTokenizer
from burnish.llm.tokenizer import fingerprint_of
from burnish.llm.tokenizer_files import load_tokenizer, save_tokenizer
from burnish.platform.errors import ConfigError, DataError

pytestmark = pytest.mark.fast

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def saved(tmp_path):
    """Return a directory with the byte tokenizer's files."""
    save_tokenizer(ByteTokenizer(), tmp_path)
    return tmp_path


@pytest.fixture
def with_template(saved):
    """Return a directory with the byte tokenizer's files and a template of turns."""
    (saved / "chat_template.jinja").write_text(TEMPLATE)
    (saved / "generation_config.json").write_text(json.dumps({"eos_token_id": [258, 256]}))
    return saved


def test_without_a_directory_the_tokenizer_is_bytes():
    assert isinstance(load_tokenizer(None), ByteTokenizer)


def test_the_saved_byte_tokenizer_is_recognized_by_its_bytes(saved):
    assert isinstance(load_tokenizer(saved), ByteTokenizer)


def test_one_changed_byte_makes_it_a_tokenizer_of_its_own(saved):
    path = saved / "tokenizer_config.json"
    path.write_text(path.read_text().replace("<|pad|>", "<|im_end|>"))
    loaded = load_tokenizer(saved)
    assert isinstance(loaded, HuggingFaceTokenizer)
    assert loaded.pad_token_id == 258


def test_a_directory_without_a_tokenizer_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(ConfigError, match="tokenizer=bytes"):
        load_tokenizer(tmp_path)


def test_broken_tokenizer_files_are_refused_in_one_line(saved):
    (saved / "tokenizer.json").write_text("{}")
    (saved / "tokenizer_config.json").write_text('{"tokenizer_class": "NoSuchTokenizer"}')
    with pytest.raises(ConfigError, match="do not load") as caught:
        load_tokenizer(saved)
    assert "\n" not in str(caught.value)


def test_transformers_reads_the_byte_tokenizer_with_the_same_result(saved):
    ours, theirs = ByteTokenizer(), HuggingFaceTokenizer(saved)
    text = "h\u00e9llo <|im_end|> \u65e5\u672c"
    for with_special in (False, True):
        ids = ours.encode(text, with_special=with_special)
        assert theirs.encode(text, with_special=with_special) == ids
        assert theirs.decode(ids) == ours.decode(ids)
    assert theirs.vocab_size == ours.vocab_size
    assert theirs.eos_token_ids == ours.eos_token_ids
    assert theirs.pad_token_id == ours.pad_token_id
    assert theirs.chat_template is None
    assert theirs.fingerprint == ours.fingerprint


def test_files_of_a_directory_come_back_as_they_were(with_template, tmp_path_factory):
    first = load_tokenizer(with_template)
    other = tmp_path_factory.mktemp("copy")
    save_tokenizer(first, other)
    second = load_tokenizer(other)
    assert second.files() == first.files()
    assert second.fingerprint == first.fingerprint
    assert second.chat_template == TEMPLATE


def test_end_tokens_are_those_of_the_tokenizer_then_of_the_generation_config(with_template):
    assert load_tokenizer(with_template).eos_token_ids == (256, 258)


def test_end_tokens_are_written_when_no_file_but_the_tokenizer_names_them(saved):
    (saved / "generation_config.json").unlink()
    loaded = load_tokenizer(saved)
    assert isinstance(loaded, HuggingFaceTokenizer)
    assert json.loads(loaded.files()["generation_config.json"])["eos_token_id"] == [256]


def test_a_conversation_goes_through_the_template_with_real_special_tokens(with_template):
    ids = load_tokenizer(with_template).render_chat([{"role": "user", "content": "hi"}])
    assert ids == [257, *b"user\nhi", 258, *b"\n", 257, *b"assistant\n"]


def test_a_conversation_without_a_template_is_refused(saved):
    with pytest.raises(DataError, match="no chat template"):
        HuggingFaceTokenizer(saved).render_chat([{"role": "user", "content": "hi"}])


def test_a_fingerprint_changes_with_a_name_or_a_byte():
    assert fingerprint_of({"a": b"1"}) == fingerprint_of({"a": b"1"})
    assert len({fingerprint_of(files) for files in ({"a": b"1"}, {"b": b"1"}, {"a": b"2"}, {})}) == 4
