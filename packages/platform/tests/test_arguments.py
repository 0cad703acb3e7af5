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


def test_a_path_to_explain_is_given_without_other_flags():
    with pytest.raises(ConfigError, match=r"--help a\.b explains an option; give no other flag with it"):
        parse(["--help", "a.b", "--config-dir", "x"])
    arguments = parse(["c=d", "--help", "a.b"])
    assert (arguments.paths, arguments.overrides, arguments.flags) == (("a.b",), ("c=d",), ("--help",))
