"""A model whose vocabulary grows goes through `stage=sft+rl`, killed on the way or not."""

import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.llm.testing import params_of
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import save_huggingface

OLD, ADDED = 260, 8
IN_RL = 13 + 3
"""Rows of metrics after three steps of RL."""


@pytest.fixture
def source(tmp_path):
    """The words for a model of bytes whose tokenizer knows eight words more, and which may grow."""
    from transformers import AutoTokenizer as Theirs

    bundle = Tiny(num_layers=1).build(ModelContext(tokenizer=AutoTokenizer(), seed=5))
    (directory := tmp_path / "model").mkdir()
    save_huggingface(directory, bundle.model, params_of(bundle), "float32")
    save_tokenizer(ByteTokenizer(), directory)
    tokenizer = Theirs.from_pretrained(directory)
    tokenizer.add_tokens([f"<a_{number}>" for number in range(ADDED)], special_tokens=True)
    tokenizer.save_pretrained(directory)
    return ["model=pretrained", f"model.name_or_path={directory}", "model.resize=mean_covariance"]


def test_grown_rows_are_handed_over_and_a_killed_run_ends_with_the_same(make_train, tmp_path, short, source):
    straight, killed = (make_train(tmp_path / name) for name in ("straight", "killed"))
    words = [*short, *source, "run.name=x"]
    done = straight(*words)
    assert done.returncode == 0, done.stderr
    assert f"with {ADDED} new token ids" in done.stdout + done.stderr

    process = killed.start(*words)
    metrics = killed.output / "x" / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= IN_RL):
        assert process.poll() is None, killed.printed()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = killed(*words, "checkpoint.resume_from=latest")
    assert done.returncode == 0, done.stderr

    drawn = params_of(of_directory(tmp_path / "model", resize="mean_covariance"))
    trained = params_at(straight, "1-sft")
    assert (np.abs(trained["embed"] - drawn["embed"]).max(axis=1)[OLD:] > 0).all()
    ends = [params_at(train, "2-rl") for train in (straight, killed)]
    assert jax.tree.all(jax.tree.map(np.array_equal, *ends))


def of_directory(directory, **options):
    return load_bundle(
        Pretrained(name_or_path=str(directory), **options), ModelContext(tokenizer=AutoTokenizer())
    )


def params_at(train, stage):
    export = train.output / "x" / "stages" / stage / "export"
    assert json.loads((export / "config.json").read_text())["vocab_size"] == OLD + ADDED
    bundle = of_directory(export)
    assert bundle.tokenizer.encode("<a_7>", with_special=True) == [OLD + 7]
    return params_of(bundle)
