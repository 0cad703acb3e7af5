"""What scoring needs, at a small vocabulary: chunks bound it, and keeping a single chunk costs no more."""

import json

import pytest


@pytest.fixture
def logprob_memory(benchmark_module):
    return benchmark_module("logprob_memory")


def test_chunks_need_least_and_dense_logits_most(logprob_memory, capsys):
    logprob_memory.main(["--positions", "4096", "--vocabulary", "8192"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    needed = {line["scoring"]: line["of_all_logits"] for line in lines}
    assert needed["chunked"] < 1 < needed["kept"] < 2.5 < needed["dense"]


def test_one_chunk_needs_what_computing_it_again_needs(logprob_memory, capsys):
    logprob_memory.main(["--positions", "1024", "--vocabulary", "8192"])
    kept, chunked = [json.loads(line) for line in capsys.readouterr().out.splitlines()][1:]
    assert kept["temporary_bytes"] == chunked["temporary_bytes"]
