import json

import pytest

from burnish.platform.checkpoint.manifest import Verified, verify, write_manifest
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "arrays").write_bytes(bytes(range(100)))
    (tmp_path / "state.json").write_text("{}")
    write_manifest(tmp_path, {"step": 3})
    return tmp_path


def _flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))


def test_verify_of_an_intact_directory_returns_the_facts(directory):
    assert verify(directory) == Verified(directory, {"step": 3})


@pytest.mark.parametrize("position", [0, 50, 99])
def test_verify_when_a_byte_is_flipped_names_the_file(directory, position):
    _flip(directory / "params" / "arrays", position)
    with pytest.raises(CheckpointError, match=r"'params/arrays' is altered: its sha256"):
        verify(directory)


def test_verify_when_a_file_is_truncated_names_both_sizes(directory):
    (directory / "params" / "arrays").write_bytes(b"abc")
    with pytest.raises(CheckpointError, match=r"'params/arrays' is truncated: 3 bytes, recorded 100"):
        verify(directory)


def test_verify_when_a_file_is_missing_names_it(directory):
    (directory / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"'state.json' is missing"):
        verify(directory)


def test_verify_without_a_manifest_says_torn(directory):
    (directory / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="torn"):
        verify(directory)


def test_verify_when_any_byte_of_the_manifest_is_flipped_refuses_or_reads_the_same(directory):
    path = directory / "manifest.json"
    content = path.read_bytes()
    for position in range(len(content)):
        _flip(path, position)
        try:
            facts = verify(directory).facts
        except CheckpointError:
            facts = None
        assert facts in (None, {"step": 3})
        path.write_bytes(content)


def test_verify_when_the_facts_are_edited_refuses(directory):
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    content["facts"]["step"] = 4
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="altered"):
        verify(directory)
