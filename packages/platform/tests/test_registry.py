import re
import sys

import pytest

from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import available, known_slots, provider, resolve
from burnish.platform.configuration.slot_fields import default_component
from burnish.platform.errors import ComponentError, ConfigError

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("toy")]


def test_available_when_listing_then_imports_nothing():
    listed = available("engine")
    assert listed["echo"].origin == "burnish-toy 1.0"
    assert listed["echo"].value == "burnish_toy:Echo"
    assert "burnish_toy" not in sys.modules


def test_resolve_when_installed_then_is_dataclass_or_function():
    assert resolve("engine", "echo")().repeat == 1
    assert resolve("reward", "length")(["ab"]) == [2]
    assert default_component("reward", "length").build(None)(["abc"]) == [3]


def test_function_component_when_it_is_given_an_option_then_says_which_and_that_it_has_none():
    with pytest.raises(ConfigError, match=r"length\.scale: 'length' is a function and has no options"):
        default_component("reward", "length").build(scale=2)


def test_resolve_when_import_path_then_needs_no_entry_point():
    assert resolve("engine", "burnish_toy:Slow").__name__ == "Slow"
    assert provider("engine", "burnish_toy:Slow").origin == "an import path"


def test_resolve_when_config_came_with_artifact_then_import_path_is_refused():
    with pytest.raises(ComponentError, match="is an import path"):
        resolve("engine", "burnish_toy:Slow", allow_import_paths=False)
    assert resolve("engine", "echo", allow_import_paths=False).__name__ == "Echo"


def test_resolve_when_name_is_near_then_suggests_and_lists():
    with pytest.raises(ComponentError) as caught:
        resolve("engine", "ecoh")
    message = str(caught.value)
    assert "unknown engine 'ecoh' (did you mean 'echo'?)" in message
    assert "echo (burnish-toy 1.0)" in message
    assert "package.module:Symbol" in message


def test_resolve_when_a_stage_is_absent_then_names_the_distribution_it_would_bear():
    with pytest.raises(ComponentError) as caught:
        resolve("stage", "far_away")
    assert "no installed distribution provides it" in str(caught.value)
    assert "pip install burnish-far-away" in str(caught.value)


def test_resolve_when_another_component_is_absent_then_no_distribution_is_guessed():
    with pytest.raises(ComponentError) as caught:
        resolve("engine", "far_away")
    assert "unknown engine 'far_away'; no installed distribution provides it" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_clash_when_two_distributions_share_a_name_then_names_both(distribution):
    distribution("burnish-zzz", {"engine": {"echo": "burnish_zzz:Echo"}}, version="2.1")
    with pytest.raises(ComponentError) as caught:
        available("engine")
    for word in ("burnish-toy 1.0 (burnish_toy:Echo)", "burnish-zzz 2.1 (burnish_zzz:Echo)", "uninstall one"):
        assert word in str(caught.value)
    with pytest.raises(ComponentError, match="more than one distribution"):
        resolve("engine", "echo")
    assert resolve("engine", "slow").__name__ == "Slow"
    assert resolve("engine", "burnish_toy:Echo").__name__ == "Echo"


def test_clash_when_one_distribution_is_visible_twice_then_is_none(distribution):
    distribution("burnish-one", {"engine": {"one": "burnish_one:One"}})
    sys.path.append(sys.path[0])
    try:
        assert available("engine")["one"].distribution == "burnish-one"
    finally:
        sys.path.pop()


def test_resolve_when_plugin_fails_to_import_then_names_its_distribution(distribution):
    distribution(
        "burnish-bad", {"engine": {"bad": "burnish_bad:Bad"}}, {"burnish_bad.py": "import no_such_thing"}
    )
    with pytest.raises(ComponentError) as caught:
        resolve("engine", "bad")
    assert "burnish-bad 1.0" in str(caught.value)
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", ["raise RuntimeError('boom')", "1 / 0", "def broken(:"])
def test_resolve_when_plugin_raises_anything_then_is_component_error(distribution, error):
    distribution("burnish-bad", {"engine": {"bad": "burnish_bad:Bad"}}, {"burnish_bad.py": error})
    with pytest.raises(ComponentError, match=r"burnish-bad 1\.0 .* fails to import"):
        resolve("engine", "bad")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Bax = 1", "has no 'Bad' (did you mean 'Bax'?)"),
        ("Bad = 3", "neither a frozen dataclass with build() nor a plain function"),
        ("class Bad:\n    def build(self): ...", "neither a frozen dataclass"),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass Bad:\n    def build(self): ...",
            "neither a frozen",
        ),
        (
            "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Bad:\n    x: int = 0",
            "neither a frozen",
        ),
    ],
)
def test_resolve_when_it_is_no_component_then_says_so(distribution, source, message):
    distribution("burnish-bad", {"engine": {"bad": "burnish_bad:Bad"}}, {"burnish_bad.py": source})
    with pytest.raises(ComponentError, match=re.escape(message)):
        resolve("engine", "bad")


def test_available_when_name_cannot_be_typed_then_names_its_distribution(distribution):
    distribution("burnish-loud", {"engine": {"Loud-Name": "x:Y"}})
    with pytest.raises(ComponentError, match=r"'Loud-Name' of burnish-loud 1\.0 is no legal name"):
        available("engine")


def test_allow_list_when_set_then_hides_what_it_does_not_name(monkeypatch):
    monkeypatch.setenv("BURNISH_PLUGINS", "slow")
    assert "slow" in available("engine")
    assert "echo" not in available("engine")
    assert "arithmetic" in available("data")
    with pytest.raises(ComponentError, match="burnish-toy provides it, but BURNISH_PLUGINS does not list it"):
        resolve("engine", "echo")
    monkeypatch.setenv("BURNISH_PLUGINS", "burnish-toy")
    assert "echo" in available("engine")


def test_fields_when_built_without_arguments_then_hold_their_defaults():
    stage = resolve("stage", "toy")()
    assert type(stage.engine).__name__ == "Echo"
    assert type(stage.advantage).__name__ == "Mean"
    assert stage.judge is None
    assert isinstance(stage.rewards["length"], FunctionComponent)
    kinds = {name: option.slot.kind for name, option in options_of(type(stage)).items() if option.slot}
    assert {name for name, kind in kinds.items() if kind == "shared"} == {"engine", "data"}


def test_allow_list_when_a_component_only_looks_like_ours_then_is_hidden(distribution, monkeypatch):
    distribution("burnish-evil", {"engine": {"evil": "burnish_evil:Evil"}})
    distribution("evil", {"engine": {"other": "burnish.platform.evil:Evil"}})
    monkeypatch.setenv("BURNISH_PLUGINS", "none")
    assert not {"evil", "other"} & set(available("engine"))
    assert "arithmetic" in available("data")


def test_known_slots_when_a_plugin_opens_one_then_it_is_known(distribution):
    assert "mood" not in known_slots()
    distribution("burnish-mood", {"mood": {"good": "burnish_mood:Good"}})
    assert "mood" in known_slots()
    assert not {"config", "metric", "default_stage", "command"} & set(known_slots())
