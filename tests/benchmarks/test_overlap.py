import pytest


def event(name, start, duration):
    return {"name": name, "ts": start, "dur": duration}


@pytest.fixture
def overlap(benchmark_module):
    """Return the module, which leaves out no first steps."""
    module = benchmark_module("overlap")
    module.STEPS = 0
    return module


@pytest.mark.parametrize(
    ("executions", "share"),
    [
        ([(0, 12), (19, 4)], 0.0),
        ([(10, 5)], 0.5),
        ([(10, 5), (12, 3)], 0.5),
        ([(0, 100)], 1.0),
        ([], 0.0),
    ],
    ids=["before and after", "half", "twice at once", "all", "none"],
)
def test_overlap_is_the_share_of_the_work_before_the_call_that_lies_under_execution(
    overlap, executions, share
):
    of_host = [event("train", 12, 9), event(overlap.CALL, 18, 2)]
    of_device = [event(overlap.EXECUTION, *each) for each in executions]
    seen = overlap.overlap_of([*of_host, *of_device])
    assert (seen["steps"], seen["share_under_execution"]) == (1, share)
