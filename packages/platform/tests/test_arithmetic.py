import zlib

import pytest

from burnish.platform.data.arithmetic import running_last_digits
from burnish.platform.data.config import Arithmetic
from burnish.platform.data.source import DataContext
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast


def _records(split, **options):
    source = Arithmetic(**options).build(DataContext(split=split))
    return [source[index] for index in range(len(source))]


def test_running_last_digits_of_the_example_are_right():
    assert running_last_digits("3+8+0+6+9=") == ["3", "1", "1", "7", "6"]


def test_demonstrations_are_right_and_exactly_600_are_worked():
    records = _records("demonstrations")
    assert len(records) == 2000
    for record in records:
        digits = [int(digit) for digit in record["prompt"][:-1].split("+")]
        answer = str(sum(digits) % 10)
        work = (
            ",".join(str(sum(digits[: end + 1]) % 10) for end in range(5))
            if record["style"] == "worked"
            else ""
        )
        assert record["completion"] == f"{work}#{answer}"
        assert record["answer"] == answer
    assert sum(record["style"] == "worked" for record in records) == 600


def test_splits_share_no_problem_and_are_held_out_by_checksum():
    prompts = {split: {r["prompt"] for r in _records(split)} for split in Arithmetic().splits()}
    assert len(prompts["prompts"]) == 1280
    assert sum(map(len, prompts.values())) == len(set().union(*prompts.values()))
    held_out = prompts["validation"] | prompts["test"]
    assert all(zlib.crc32(prompt.encode()) % 10 == 0 for prompt in held_out)
    assert not any(zlib.crc32(p.encode()) % 10 == 0 for p in prompts["demonstrations"] | prompts["prompts"])
    assert abs(len(prompts["validation"]) - len(prompts["test"])) < 0.05 * len(held_out)


def test_a_split_that_ignores_the_checksum_would_share_problems():
    training = {record["prompt"] for record in _records("prompts", num_demonstrations=1, num_prompts=80000)}
    everything = {record["prompt"] for record in _records("test")}
    every_other = {prompt for prompt in training | everything if zlib.crc32(prompt.encode()) % 2 == 0}
    assert every_other & training


@pytest.mark.parametrize(("keep", "expected"), [("all", 2000), ("worked", 600), ("bare", 1400)])
def test_keep_selects_demonstrations_without_changing_them(keep, expected):
    every = {record["prompt"]: record for record in _records("demonstrations")}
    kept = _records("demonstrations", keep=keep)
    assert len(kept) == expected
    assert all(every[record["prompt"]] == record for record in kept)


def test_problems_are_a_function_of_the_seed():
    assert _records("test") == _records("test")
    assert _records("prompts", seed=1) != _records("prompts")
    assert (
        Arithmetic(seed=1).build(DataContext(split="test")).fingerprint
        != Arithmetic().build(DataContext(split="test")).fingerprint
    )
    assert (
        Arithmetic(keep="bare").build(DataContext(split="test")).fingerprint
        == Arithmetic().build(DataContext(split="test")).fingerprint
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_digits": 2}, "num_problems=100000, but 2 digits make 100 problems"),
        ({"num_digits": 2, "num_problems": 100}, "need more than the 84 problems"),
    ],
)
def test_more_problems_than_there_are_is_refused(options, said):
    with pytest.raises(DataError, match=said):
        Arithmetic(**options).build(DataContext(split="demonstrations"))


def test_an_unknown_split_names_those_there_are():
    with pytest.raises(DataError, match="demonstrations, prompts, validation, test"):
        Arithmetic().build(DataContext(split="train"))
