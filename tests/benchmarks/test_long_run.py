"""The benchmark of long runs, over few steps: what it appends it reads back, and cuts where it says."""

import json

import pytest


@pytest.fixture
def long_run(benchmark_module):
    return benchmark_module("long_run")


def test_records_of_few_steps_cost_the_same_first_and_last_and_little_to_read(long_run, capsys):
    long_run.main(["records", "--steps", "2000"])
    appended, *reads = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert appended["last_tenth_us"] < 3 * appended["first_tenth_us"]
    assert [line["read"] for line in reads] == ["summary", "comparison", "cut"]
    for line in reads[:2]:
        assert line["peak_megabytes"] < 0.1 < line["megabytes"]
