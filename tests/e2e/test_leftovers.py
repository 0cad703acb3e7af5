"""A recipe speaks of the default component: another one that is chosen does not inherit what it lacks."""

import pytest

from burnish.platform.configuration.composition import compose_config
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast
SGD = "stages.sft.optimizer=sgd"


def test_options_that_the_chosen_component_has_stay_and_others_go():
    chosen = compose_config(["stage=sft", SGD]).stages["sft"].optimizer
    assert chosen == compose_config(["stage=sft", SGD, "~stages.sft.optimizer.b2"]).stages["sft"].optimizer
    assert chosen.learning_rate == 3e-3
    assert compose_config(["stage=sft"]).stages["sft"].optimizer.b2 == 0.99


def test_twin_what_is_typed_is_refused():
    with pytest.raises(ConfigError, match=r"stages\.sft\.optimizer\.b2: unknown key"):
        compose_config(["stage=sft", SGD, "stages.sft.optimizer.b2=0.9"])


@pytest.mark.parametrize(("line", "is_refused"), [("b2: 0.9", True), ("momentum: 0.8", False)])
def test_twin_what_a_file_says_is_refused(tmp_path, line, is_refused):
    file = tmp_path / "my.yaml"
    file.write_text(f"stage: sft\nstages:\n  sft:\n    optimizer:\n      use: sgd\n      {line}\n")
    if is_refused:
        with pytest.raises(ConfigError, match="b2: unknown key"):
            compose_config([str(file)])
    else:
        assert compose_config([str(file)]).stages["sft"].optimizer.momentum == 0.8
