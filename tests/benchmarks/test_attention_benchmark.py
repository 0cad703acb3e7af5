"""What attention takes: temporaries of blocks grow with the length, and a kernel that refuses says why."""

import json

import pytest


@pytest.fixture
def lines(benchmark_module, capsys):
    """Return what the script prints, by kernel and length."""

    def printed(*arguments):
        benchmark_module("attention").main(
            [*arguments, "--heads", "2", "1", "--head-dim", "8", "--calls", "1"]
        )
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {(line["kernel"], line["length"]): line for line in found}

    return printed


def test_temporaries_of_blocks_double_with_the_length_and_those_of_all_scores_quadruple(lines):
    found = lines("--lengths", "512", "1024", "--kernels", "xla", "chunked:64")
    needed = {key: line["temporary_bytes"] for key, line in found.items()}
    assert needed["chunked:64", 1024] < 2.2 * needed["chunked:64", 512]
    assert needed["xla", 1024] > 3.5 * needed["xla", 512]
    assert all(line["wall_seconds"] > 0 for line in found.values())


def test_a_kernel_that_is_of_another_platform_says_so(lines):
    [line] = lines("--lengths", "64", "--kernels", "splash").values()
    assert "needs a TPU" in line["refuses"]
