"""The statistics of paired measurements, and the verdict of `benchmarks/run.py` on them."""

import json
import math
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"


@pytest.fixture
def ratios(benchmark_module):
    return benchmark_module("ratios")


@pytest.fixture
def results():
    """Return a maker of the results of two systems from their seconds."""

    def make(ours, theirs):
        systems = [("burnish", seconds) for seconds in ours] + [("hf", seconds) for seconds in theirs]
        return [
            {"workload": "sft-2k", "size": "cpu", "system": system, "median_seconds": seconds}
            for system, seconds in systems
        ]

    return make


@pytest.fixture
def make_ratio(ratios):
    """Return a maker of ratios with a lower end of 1.2."""

    def make(clock="median_seconds"):
        return ratios.Ratio(
            workload="sft-2k", size="cpu", peer="hf", clock=clock, ratio=1.3, low=1.2, high=1.4, num_pairs=7
        )

    return make


def _coverage(interval_of, num_pairs=7, num_trials=200):
    """Return how often the interval of `num_pairs` noisy ratios around 1.25 holds 1.25."""
    generator = random.Random(7)
    hits = 0
    for _ in range(num_trials):
        values = [1.25 * math.exp(generator.gauss(0, 0.1)) for _ in range(num_pairs)]
        low, high = interval_of(values)
        hits += low <= 1.25 <= high
    return hits / num_trials


def test_interval_when_all_values_are_equal_then_is_that_value(ratios):
    assert ratios.bootstrap_interval([1.5] * 7) == (1.5, 1.5)


def test_interval_when_values_are_permuted_then_holds_the_same_median(ratios):
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
    low, high = ratios.bootstrap_interval(values)
    assert (low, high) == ratios.bootstrap_interval(values)
    assert 1.0 <= low < statistics.median(values) < high <= 1.6
    assert (low, high) == ratios.bootstrap_interval(values[::-1])


def test_interval_of_three_values_then_equals_the_enumerated_resamples(ratios):
    values = [1.0, 2.0, 4.0]
    resamples = sorted(statistics.median((a, b, c)) for a in values for b in values for c in values)
    assert ratios.bootstrap_interval(values, coverage=0.4, num_resamples=50_000) == (
        resamples[round(0.3 * 26)],
        resamples[26 - round(0.3 * 26)],
    )


def test_interval_when_resampled_often_then_covers_the_truth(ratios):
    assert _coverage(lambda values: ratios.bootstrap_interval(values, num_resamples=400)) > 0.8


def test_interval_when_half_of_the_resamples_are_dropped_then_coverage_is_missed(ratios):
    def one_sided(values):
        low, high = ratios.bootstrap_interval(values, num_resamples=400)
        return statistics.median(values), high if high > low else low

    assert not _coverage(one_sided) > 0.8


def test_interval_without_values_then_is_refused(ratios):
    with pytest.raises(ValueError, match="at least one value"):
        ratios.bootstrap_interval([])


def test_compare_when_burnish_is_twice_as_fast_then_ratio_is_two(ratios, results):
    ratio = ratios.compare(results([1.0, 2.0, 4.0], [2.0, 4.0, 8.0]), "burnish", "hf", "median_seconds")
    assert (ratio.ratio, ratio.low, ratio.high, ratio.num_pairs) == (2.0, 2.0, 2.0, 3)


def test_compare_when_pairs_are_mixed_up_then_ratio_is_wide(ratios, results):
    ratio = ratios.compare(results([4.0, 2.0, 1.0], [2.0, 4.0, 8.0]), "burnish", "hf", "median_seconds")
    assert (ratio.low, ratio.high) != (2.0, 2.0)


def test_compare_when_a_measurement_is_missing_then_is_refused(ratios, results):
    with pytest.raises(ValueError, match="zip"):
        ratios.compare(results([1.0, 1.0], [1.0]), "burnish", "hf", "median_seconds")


@pytest.mark.parametrize(("bar", "num_failures"), [(1.1, 0), (1.2, 0), (1.21, 1)])
def test_below_bar_when_lower_end_is_under_then_names_it(ratios, make_ratio, bar, num_failures):
    failures = ratios.below_bar([make_ratio()], {("sft-2k", "cpu", "hf"): bar})
    assert len(failures) == num_failures
    assert all("sft-2k" in line and "1.200" in line for line in failures)


def test_below_bar_when_bar_is_of_another_size_then_passes(ratios, make_ratio):
    assert ratios.below_bar([make_ratio()], {("sft-2k", "1.5b", "hf"): 2.0}) == []


def test_below_bar_when_ratio_is_by_processor_time_then_passes(ratios, make_ratio):
    assert ratios.below_bar([make_ratio("cpu_seconds")], {("sft-2k", "cpu", "hf"): 2.0}) == []


@pytest.fixture
def alternate(benchmark_module):
    """Return a maker of two pairs of measurements by stand-ins, of which burnish takes twice as long."""
    program = "import sys; print(sys.argv[1])"

    def command(seconds):
        timing = {"seconds": [seconds], "cpu_seconds": [1.0], "other_cores": [0.0], "disturbed_calls": 0}
        return [sys.executable, "-c", program, json.dumps({"timing": timing, "device": "cpu", "compiles": 0})]

    commands = {"burnish": command(2.0), "hf": command(1.0)}
    return lambda: benchmark_module("run").alternate(commands, "sft-2k", "cpu", 2, 1.0)


def test_alternate_when_two_systems_run_then_reverses_every_other_pair(alternate, capsys):
    results = alternate()
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line.removeprefix("RESULT ")) for line in lines] == results
    assert [result["system"] for result in results] == ["burnish", "hf", "hf", "burnish"]
    assert [result["pair"] for result in results] == [0, 0, 1, 1]
    assert results[0]["tokens_per_s"] == 8 * 256 / 2.0


@pytest.mark.parametrize(("bar", "status"), [(0.4, 0), (0.6, 1)])
def test_conclude_when_lower_end_is_under_its_bar_then_exits_with_one(
    benchmark_module, alternate, tmp_path, capsys, bar, status
):
    results = alternate()
    capsys.readouterr()
    report = tmp_path / "report.json"
    bars = {("sft-2k", "cpu", "hf"): bar}
    assert benchmark_module("run").conclude(results, ["hf"], bars, report) == status
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["RATIO", "RATIO"]
    assert json.loads(lines[-1].removeprefix("RATIO "))["low"] == 0.5
    assert json.loads(report.read_text(encoding="utf-8"))["ratios"][-1]["ratio"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["gen-9"], "sft-2k"),
        (["sft-2k", "--size", "7b"], "1.5b"),
        (["sft-2k", "--peers", "hf,trl"], "hf"),
        (["sft-2k", "--pairs", "0"], "1 or more"),
    ],
)
def test_run_when_asked_for_what_there_is_not_then_says_so_in_one_line(arguments, named):
    done = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_model_of_each_size_then_has_the_published_number_of_parameters(benchmark_module):
    models = benchmark_module("workloads").MODELS
    assert models["1.5b"].num_parameters == 1_543_714_304
    assert models["0.5b"].num_parameters == 494_032_768
