import pytest

from burnish.platform.configuration.arguments import parse
from burnish.platform.errors import BurnishError, ConfigError

pytestmark = pytest.mark.fast


def test_parse_when_flags_stand_between_overrides_then_they_are_told_apart():
    arguments = parse(["a=1", "-m", "b=2,3", "--dry-run", "c=4"])
    assert arguments.overrides == ("a=1", "b=2,3", "c=4")
    assert arguments.flags == ("-m",)
    assert (arguments.is_sweep, arguments.is_dry_run, arguments.is_print) == (True, True, False)
    assert parse(["--info", "stage=toy"]).flags == ("--info",)
    assert parse(["--info", "defaults-tree"]).flags == ("--info", "defaults-tree")
    with pytest.raises(BurnishError, match="expected a value"):
        parse(["--package"])


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["-m", "-m"], ("-m",)),
        (["-m", "--multirun"], ("-m",)),
        (["--run", "-r"], ("-r",)),
        (["--dry-run", "--dry-run"], ()),
        (["--cfg", "job", "-c", "job"], ("--cfg", "job")),
        (["--print-config", "--cfg=job"], ("--cfg", "job")),
    ],
)
def test_a_flag_that_is_given_twice_is_one(words, flags):
    assert parse(words).flags == flags


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cfg", "job", "--cfg", "all"], "--cfg job and --cfg all cannot be combined; give one of them"),
        (["-m", "--run"], "-m and -r cannot be combined; give one of them"),
        (["--dry-run=true"], "--dry-run takes no value, got 'true'"),
        (["-h=3"], "-h takes no value, got '3'"),
    ],
)
def test_flags_that_say_two_things_are_refused(words, said):
    with pytest.raises(ConfigError, match=f"^{said}$"):
        parse(words)


@pytest.mark.parametrize(
    ("words", "explained", "composed"),
    [
        (["--help", "data=jsonl"], ("data=jsonl",), ()),
        (["-h", "engine=my.module:Mine"], ("engine=my.module:Mine",), ()),
        (["stage=sft", "--help"], (), ("stage=sft",)),
        (["--help", "stage=sft+rl"], (), ("stage=sft+rl",)),
        (["--help", "a.b=3"], (), ("a.b=3",)),
        (["--help", "a.b", "data=jsonl"], ("a.b",), ("data=jsonl",)),
        (["--help", "data=jsonl", "--config-dir", "x"], (), ("data=jsonl",)),
    ],
)
def test_what_follows_help_is_explained(words, explained, composed):
    arguments = parse(words)
    assert (arguments.paths, arguments.overrides) == (explained, composed)


def test_a_path_to_explain_is_given_without_other_flags():
    with pytest.raises(ConfigError, match=r"--help a\.b explains an option; give no other flag with it"):
        parse(["--help", "a.b", "--config-dir", "x"])
    arguments = parse(["c=d", "--help", "a.b"])
    assert (arguments.paths, arguments.overrides, arguments.flags) == (("a.b",), ("c=d",), ("--help",))
