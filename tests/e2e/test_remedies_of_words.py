"""What a message tells the user to choose or to look up, chosen and looked up."""

import pytest

from burnish.platform import cli
from burnish.platform.testing import named


@pytest.mark.parametrize("word", ["stages.sft", "advantage", "data"])
def test_the_help_says_what_there_is_to_set(command, refused, word):
    assert command(*named(refused(word), r"train (--help \S+) says what").split())[0] == 0


def test_an_option_is_explained_where_a_message_sends_for_it(command, capsys):
    assert cli.exit_status("burnish", cli._burnish, ["describe", "data.path"]) == 2
    sent = named(capsys.readouterr().err, r"train (--help \S+) explains an option$")
    status, out, _ = command(*sent.split())
    assert (status, out.splitlines()[0]) == (0, "data.path=(required)  a text")


def test_an_objective_of_another_stage_is_chosen_anew(command, one_stage):
    words = [*one_stage, "stages.sft.steps=1"]
    status, _, err = command(*words, "stages.sft.objective=clipped_policy_gradient")
    assert (status, "go on with" in err) == (2, False)
    place = named(err, r"train: (\S+): .*; choose an objective of this stage, such as its default; saved")
    status, _, err = command(*words, f"{place}=cross_entropy", "run.name=y")
    assert status == 0, err


def test_a_learning_rate_that_is_too_high_is_lowered_in_another_run(command, one_stage):
    words = [*one_stage, "stages.sft.max_skipped_updates=1", "stages.sft.optimizer.warmup_steps=0"]
    status, _, err = command(*words, "stages.sft.optimizer.learning_rate=1e38", "stages.sft.steps=9")
    assert status == 3, err
    option = named(err, r"start another run with a lower (\S+), or look at the data of these steps")
    status, _, err = command(*words, f"stages.sft.{option}=0.001", "stages.sft.steps=2", "run.name=y")
    assert status == 0, err


def test_a_choice_is_made_in_a_preset(command, refused, tmp_path):
    entry = named(refused("stage=sft", "tokenizer.use=bytes"), r"in a preset by '(.*)'$")
    (tmp_path / "presets/experiment").mkdir(parents=True)
    text = f"# @package _global_\ndefaults:\n  - {entry}\n"
    (tmp_path / "presets/experiment/mine.yaml").write_text(text)
    words = ["--config-dir", str(tmp_path / "presets"), "stage=sft", "+experiment=mine"]
    status, _, err = command(*words, "--dry-run")
    assert status == 0, err
