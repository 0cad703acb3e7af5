import json
import subprocess
import sys

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnish.llm.byte_tokenizer import SPECIAL_TOKENS, ByteTokenizer
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast

BYTES = ByteTokenizer()
REFERENCE = tokenizers.Tokenizer.from_str(BYTES.files()["tokenizer.json"].decode())
texts = st.lists(st.one_of(st.text(), st.sampled_from(SPECIAL_TOKENS))).map("".join)


def test_a_text_is_its_utf8_bytes():
    assert BYTES.encode("3+8=\n") == [51, 43, 56, 61, 10]
    assert BYTES.encode("é") == [0xC3, 0xA9]


def test_special_tokens_in_a_text_stay_text_unless_asked_for():
    assert BYTES.encode("a<|im_end|>") == list(b"a<|im_end|>")
    assert BYTES.encode("a<|im_end|>", with_special=True) == [97, 258]


@given(texts)
@example("\r\n \x00\x7f\xad   <|pad|><|pad|>")
@settings(deadline=None)
def test_ids_are_those_of_the_tokenizers_library_on_the_same_file(text):
    assert BYTES.encode(text, with_special=True) == REFERENCE.encode(text).ids


@given(st.text())
@settings(deadline=None)
def test_decoding_gives_the_text_back(text):
    assert BYTES.decode(BYTES.encode(text)) == text


@given(st.lists(st.integers(0, 259)))
@settings(deadline=None)
def test_decoding_any_ids_is_what_the_tokenizers_library_does(ids):
    assert BYTES.decode(ids) == REFERENCE.decode(ids, skip_special_tokens=True)


def test_ids_with_one_byte_swapped_are_not_those_of_the_library():
    definition = json.loads(BYTES.files()["tokenizer.json"])
    vocab = definition["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    broken = tokenizers.Tokenizer.from_str(json.dumps(definition))
    assert broken.encode("cab").ids != BYTES.encode("cab")


def test_the_facts_are_those_of_the_special_tokens():
    assert isinstance(BYTES, Tokenizer)
    assert (BYTES.vocab_size, BYTES.eos_token_ids, BYTES.pad_token_id) == (260, (256,), 259)
    assert BYTES.vocab_size == REFERENCE.get_vocab_size()
    assert [REFERENCE.token_to_id(token) for token in SPECIAL_TOKENS] == [256, 257, 258, 259]


def test_a_conversation_is_refused_with_a_remedy():
    with pytest.raises(DataError, match="no chat template"):
        BYTES.render_chat([{"role": "user", "content": "hi"}])


def test_the_default_path_imports_neither_transformers_nor_tokenizers():
    code = (
        "import sys; from burnish.llm.bundle import ModelContext, load_bundle; "
        "from burnish.llm.config.model import Tiny; from burnish.llm.config.tokenizer import AutoTokenizer;"
        "bundle = load_bundle(Tiny(), ModelContext(tokenizer=AutoTokenizer()));"
        "bundle.load(bundle.model.abstract('float32'));"
        "assert not {'transformers', 'tokenizers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
