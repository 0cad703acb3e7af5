"""Options and statistics explain themselves: what `--help <path>` and `burnish describe` print."""

import json
import re
import sys
from dataclasses import dataclass

import pytest

from burnish.platform import cli
from burnish.platform.configuration.composition import compose_config
from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.describe import describe_path
from burnish.platform.configuration.field_docs import docs_of
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import available, known_slots, resolve
from burnish.platform.statistics.metric import registered_metrics

pytestmark = pytest.mark.fast


@pytest.fixture
def said(capsys):
    """Return a function command, words -> status, lines printed, line of error."""

    def say(command, *words):
        status = cli.exit_status(command, {"train": cli._train, "burnish": cli._burnish}[command], words)
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.strip()

    return say


def test_an_option_says_its_value_what_is_legal_and_what_it_means(said):
    status, lines, _ = said("train", "--help", "stages.rl.optimizer.b2")
    assert status == 0
    assert lines == [
        "stages.rl.optimizer.b2=0.99  a number (0 to below 1)",
        "    Decay of the second moment.",
    ]


def test_a_component_says_what_else_is_installed_and_its_options(said):
    _, lines, _ = said("train", "--help", "stages.rl.advantage", "stages.rl.advantage=batch_mean")
    assert lines[0] == "stages.rl.advantage=batch_mean  components: batch_mean, group_mean, leave_one_out"
    assert any(line.startswith("stages.rl.advantage.scale=") for line in lines)


UNSET = {
    "model": "model=pretrained  from burnish-llm",
    "model.name_or_path": "model.name_or_path=(required)  a text",
    "stages.sft.steps": "stages.sft.steps=1000  a whole number",
    "stages.sft.optimizer.b2": "stages.sft.optimizer.b2=",
    "stages.sft.optimizer": "optimizer=adamw  from burnish-llm",
    "stages.sft.model": "model=pretrained  from burnish-llm",
    "evaluation.rewards": "reward=",
    "run": "run.name=null  a text or null",
    "jax.mesh.dp": "jax.mesh.dp=1  a whole number",
    "name_or_path": "model.name_or_path=(required)  a text",
    "stages.sft.model.name_or_path": "stages.sft.model.name_or_path=(required)  a text",
    "stages": "stage=sft  from burnish-sft",
}


@pytest.mark.parametrize("path", UNSET)
def test_options_are_explained_while_one_is_still_to_be_set(said, path):
    status, lines, _ = said("train", "model=pretrained", "stage=sft", "--help", path)
    assert status == 0
    assert lines[0].startswith(UNSET[path])


@pytest.mark.parametrize("path", ["model.naming", "run.names", "model.name_or_path.name", "sed.name", "use"])
def test_a_path_that_leads_nowhere_is_refused_while_an_option_is_to_be_set(said, path):
    status, lines, error = said("train", "model=pretrained", "stage=sft", "--help", path)
    assert (status, lines) == (2, [])
    assert f"{path}: no such option" in error


OTHERS = {
    "data.path": ("data.path=(required)  a text", "data=jsonl", "data=arithmetic"),
    "stages.rl.data.path": ("data.path=(required)  a text", "data=jsonl", "data=arithmetic"),
    "test_path": ("data.test_path=null  a text or null", "data=jsonl", "data=arithmetic"),
    "model.name_or_path": ("model.name_or_path=(required)  a text", "model=pretrained", "model=tiny"),
}


@pytest.mark.parametrize("path", OTHERS)
def test_an_option_of_a_component_that_is_not_chosen_says_how_to_choose_it(said, path):
    status, lines, _ = said("train", "--help", path)
    first, word, now = OTHERS[path]
    option = first.partition("=")[0]
    assert status == 0
    assert lines[0] == first
    assert lines[-1] == f"    An option of {word}, while {now} is chosen: train {word} {option}=..."


@pytest.mark.parametrize("asked", ["data=jsonl", "advantage=batch_mean", "stage=sft", "experiment=control"])
def test_a_component_after_help_is_explained_as_describe_does(said, asked):
    assert said("train", "--help", asked) == said("burnish", "describe", asked)
    assert said("train", "-h", asked)[1][0].startswith(f"{asked}  ")


def test_the_end_of_a_path_is_explained_wherever_it_stands(said):
    for asked in ("lr", "learning_rate", "optimizer.learning_rate"):
        _, lines, _ = said("train", "--help", asked)
        names = [line.partition("=")[0] for line in lines if not line.startswith(" ")]
        assert names == ["stages.sft.optimizer.learning_rate", "stages.rl.optimizer.learning_rate"]
    assert said("train", "--help", "advantage") == said("burnish", "describe", "advantage")


def test_a_path_that_leads_nowhere_names_the_nearest(said):
    status, lines, error = said("train", "--help", "stages.rl.advantages")
    assert (status, lines) == (2, [])
    assert "stages.rl.advantages: no such option (did you mean 'advantage'?)" in error


@pytest.mark.parametrize("slot", known_slots())
def test_every_component_is_described(said, slot):
    _, listed, _ = said("burnish", "describe", slot)
    for name in available(slot):
        assert f"{slot}={name}  from " in "\n".join(listed)
        status, lines, _ = said("burnish", "describe", f"{slot}={name}")
        assert status == 0
        assert lines[0].startswith(f"{slot}={name}  from ")
        assert lines[1].startswith("    "), "what it is"


@pytest.mark.parametrize(
    ("asked", "told"),
    {
        "a slot": (["engin"], "unknown slot 'engin' (did you mean 'engine'?)"),
        "a component": (["engine=in_proces"], "did you mean 'in_process'"),
        "the slot of a component": (["engin=in_process"], "unknown slot 'engin' (did you mean 'engine'?)"),
        "nothing": ([], "describe takes one thing"),
        "a flag": (["--help"], "describe takes one thing"),
    }.values(),
)
def test_what_is_not_installed_is_one_line(said, asked, told):
    status, _, error = said("burnish", "describe", *asked)
    assert status == 2
    assert told in error
    assert ", train," not in error, "the file that all begins with is no preset"


def test_a_preset_is_its_file(said):
    _, lines, _ = said("burnish", "describe", "experiment=control")
    assert lines[0] == "experiment=control  a preset"
    assert "  - override /stage: sft+sft" in lines
    assert "experiment=control  a preset" in said("burnish", "describe", "experiment")[1]


def test_a_component_of_ones_own_is_found_where_the_command_is_typed(said, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "near_reward.py").write_text('def fair(samples):\n    """Half for everybody."""\n')
    _, lines, _ = said("burnish", "describe", "reward=near_reward:fair")
    assert lines[1] == "    Half for everybody."
    words = ["stages.rl.rewards.own=near_reward:fair", "--help", "stages.rl.rewards.own"]
    assert said("train", *words)[1] == ["    Half for everybody."]


def paths_below(held, path):
    """Yield every path of a config that has something below it, and each option."""
    below = held if isinstance(held, dict) else {}
    yield path
    for name, inner in below.items():
        if name != "use" and (inner is not None or "." not in path):
            yield from paths_below(inner, f"{path}.{name}")


def test_no_path_of_a_config_is_without_words():
    config = compose_config(["stages.rl.advantage=leave_one_out"])
    names = [name for name in config.resolved if name not in config.shared]
    paths = [path for name in [*names, "engine"] for path in paths_below(config.resolved[name], name)]
    assert len(paths) > 80
    for path in paths:
        assert list(describe_path(config, path)), path


PYTHON = re.compile(r"\b(None|True|False)\b")
"""Values that are written otherwise in a config."""


def without_words(component):
    """Return the options of a dataclass below which no docstring stands, or one that speaks of Python."""
    docs = docs_of(component)
    kinds = {name: option.slot and option.slot.kind for name, option in options_of(component).items()}
    mute = [name for name, kind in kinds.items() if kind in (None, "slots") and not docs.get(name)]
    return mute + [name for name in kinds if PYTHON.search(docs.get(name, ""))]


def test_every_option_of_everything_installed_has_words():
    found = [resolve(slot, name) for slot in known_slots() for name in available(slot)]
    sections = [option.annotation for option in options_of(Sections).values()]
    components = [each for each in [*found, *sections] if isinstance(each, type)]
    assert len(components) > 25
    assert {each.__name__: without_words(each) for each in components if without_words(each)} == {}


def test_twin_an_option_without_words_is_found():
    @dataclass
    class Silent:
        loud: int = 3
        """How loud."""
        quiet: int = 4
        also: int = 5
        foreign: int | None = None
        """How much; None is all."""

    assert without_words(Silent) == ["quiet", "also", "foreign"]


KNOWN = {"<label>": "exact_match", "<span>": "(evaluation|load|reward|rollout|save|train|update)"}


def without_meaning(recorded, metrics):
    """Return the statistics that none of these metrics describes."""
    patterns = [re.sub("<.+?>", lambda part: KNOWN.get(part[0], "[^/]+"), metric.name) for metric in metrics]
    return [name for name in sorted(recorded) if not any(re.fullmatch(each, name) for each in patterns)]


def test_every_statistic_of_a_run_has_a_meaning(train, short, said):
    finished = train("stage=sft+rl", *short, "run.name=m")
    assert finished.returncode == 0, finished.stderr
    rows = map(json.loads, (train.output / "m" / "metrics.jsonl").read_text().splitlines())
    rows = list(rows)
    for row in rows:
        if "train/tokens" in row:
            speed = row["train/tokens"] / row["time/step_seconds"]
            assert row["perf/train/tokens_per_second"] == pytest.approx(speed)
    assert {row["stage"] for row in rows if "train/loss" in row} == {"sft"}
    assert {row["stage"] for row in rows if "policy/loss" in row} == {"rl"}
    recorded = {name for row in rows for name in row} - {"stage", "step"}
    assert len(recorded) > 35
    assert without_meaning(recorded, registered_metrics()) == []
    fewer = [metric for metric in registered_metrics() if metric.name not in ("eval/accuracy", "reward/mean")]
    assert without_meaning(recorded, fewer) == ["eval/accuracy", "reward/mean"], "a twin"
    _, lines, _ = said("burnish", "describe", "metrics")
    assert "train/loss" in "\n".join(lines)


LEANS = re.compile(r"the same|the others?|them|those|it|this|as above", re.IGNORECASE)


def test_every_meaning_stands_by_itself(said):
    _, lines, _ = said("burnish", "describe", "metrics")
    names = [line.split()[0] for line in lines]
    assert names == sorted(names)
    leaning = [metric.name for metric in registered_metrics() if LEANS.match(metric.meaning)]
    assert leaning == []
    assert LEANS.match("The same, for one reason."), "a twin"
