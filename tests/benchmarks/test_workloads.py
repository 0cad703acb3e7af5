"""What is measured: names, the texts of ragged steps, and which peers have a workload."""

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"


@pytest.fixture
def workloads(benchmark_module):
    return benchmark_module("workloads")


def test_ragged_lengths_are_a_function_of_the_step_and_uniform(workloads):
    ragged = workloads.WORKLOADS["sft-ragged"]["cpu"]
    assert ragged.lengths(3) == ragged.lengths(3) != ragged.lengths(4)
    drawn = [length for index in range(200) for length in ragged.lengths(index)]
    assert (min(drawn), max(drawn)) == (32, 256)
    assert statistics.mean(drawn) == pytest.approx(144, rel=0.02)
    counted = [sum(ragged.lengths(index)) for index in range(ragged.num_calls)]
    assert ragged.num_tokens == statistics.mean(counted)


def test_full_rows_have_no_padding(workloads):
    full = workloads.WORKLOADS["sft-2k"]["cpu"]
    assert full.lengths(0) == [256] * 8
    assert full.num_tokens == 2048


def test_every_alias_is_a_workload(workloads):
    assert workloads.ALIASES.keys() == {"W1", "W2", "W3"}
    assert set(workloads.ALIASES.values()) <= workloads.WORKLOADS.keys()


def test_burnish_packs_the_texts_of_all_steps_into_rows_of_one_shape(benchmark_module, workloads):
    system = benchmark_module("systems.burnish_system")
    ragged, model = workloads.WORKLOADS["sft-ragged"]["cpu"], workloads.MODELS["cpu"]
    batches = system._batches(model, ragged)
    assert len(batches) == ragged.num_calls
    assert len({(batch.tokens.shape, batch.max_sequences) for batch in batches}) == 1
    texts = sum(int((batch.segment_ids > 0).sum()) for batch in batches)
    assert texts == ragged.num_calls * ragged.num_tokens
    assert texts / (len(batches) * batches[0].tokens.size) > 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["W4"], "there is no workload 'W4'; choose from sft-2k (W1), sft-2k-remat (W2), sft-ragged, gen"),
        (["W3", "--peers", "hf,tunix"], "the peer 'tunix' has no gen-512; choose from hf"),
        (["sft-ragged", "--size", "1.5b"], "there is no size '1.5b'; choose from cpu"),
    ],
    ids=["workload", "peer", "size"],
)
def test_what_there_is_not_is_refused_with_what_there_is(words, said):
    finished = subprocess.run([sys.executable, RUN, *words], capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert said in finished.stderr
