"""Every value that a message lists as legal is taken: the list is read out of the message, whole."""

import dataclasses
import re
from typing import Literal, get_args, get_origin

import pytest

from burnish.platform.configuration.composition import compose_config
from burnish.platform.configuration.options import options_of
from burnish.platform.errors import BurnishError
from burnish.platform.testing import named

FEW = [
    "data.num_problems=4000",
    "data.num_demonstrations=16",
    "data.num_prompts=8",
    "evaluation.num_problems=4",
]
SLOTS = {
    "stage": "stage",
    "data": "data",
    "model": "model",
    "tokenizer": "tokenizer",
    "engine": "engine",
    "evaluation": "evaluation",
    "export": "export",
    "checkpoint": "checkpoint.backend",
    "sink": "logging.sinks.mine",
    "training": "stages.sft.training",
    "optimizer": "stages.sft.optimizer",
    "objective": "stages.sft.objective",
    "rollout": "stages.rl.rollout",
    "advantage": "stages.rl.advantage",
    "filter": "stages.rl.filters.mine",
    "reward": "stages.rl.rewards.mine",
}
"""Where a component of each slot is chosen."""

NEEDED = {("data", "jsonl"): ["data.path=a.jsonl"], ("model", "pretrained"): ["model.name_or_path=model"]}
"""Options that a component does not do without."""


@pytest.mark.parametrize(
    ("kept", "option", "wrong", "listed"),
    [
        (
            "stage=rl stages.rl.prompts_per_step=6",
            "stages.rl.updates_per_rollout={}",
            "4",
            r"one of \[(.*)\]",
        ),
        (
            "stage=sft stages.sft.rows_per_step=6",
            "stages.sft.training.micro_batch_rows={}",
            "4",
            r"legal values: (.*)",
        ),
        ("stage=rl", "stages.rl.split={}", "nope", r"it has (.*)"),
        ("stage=eval", "evaluation.split={}", "nope", r"it has (.*)"),
        ("stage=sft", "jax.mesh.dp={}", "3", r"must be one of (.*)"),
    ],
)
def test_a_listed_value_is_taken(command, refused, kept, option, wrong, listed):
    words = [*kept.split(), *FEW, "--dry-run"]
    line = refused(*words, option.format(wrong)).strip()
    values = named(line, rf"{listed}$").split(", ")
    assert wrong not in values
    for value in values:
        status, _, err = command(*words, option.format(value))
        assert status == 0, (value, err)


def chain_of(path):
    """The shortest chain that has an option."""
    return "stage=rl" if path.startswith("stages.rl") else "stage=sft"


def said_of(*words):
    """What is said of words that do not compose."""
    with pytest.raises(BurnishError) as caught:
        compose_config(words)
    return str(caught.value)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_listed_component_is_taken(slot):
    path = SLOTS[slot]
    chain = [] if slot == "stage" else [chain_of(path)]
    message = said_of(*chain, f"{path}=nobody")
    assert message.startswith(f"unknown {slot} 'nobody'")
    names = re.findall(r"(\w+) \([\w-]+ [\d.]+\)", message)
    assert len(names) == len(message.partition("installed: ")[2].split("; ")[0].split("), "))
    for name in names:
        compose_config([*chain, f"{path}={name}", *NEEDED.get((slot, name), [])])


def choices_of(component, path):
    """Yield the place of each option below a component that is one of several words."""
    for name, option in options_of(type(component)).items():
        where, value = f"{path}.{name}".lstrip("."), getattr(component, name)
        if option.slot is not None and option.slot.kind == "shared":
            continue
        if any(get_origin(kind) is Literal for kind in (option.annotation, *get_args(option.annotation))):
            yield where
        for label, held in value.items() if isinstance(value, dict) else [("", value)]:
            if dataclasses.is_dataclass(held):
                yield from choices_of(held, f"{where}.{label}".rstrip("."))


def every_choice():
    """Return the place of each such option of a whole chain, once where two stages have it."""
    config = compose_config(["stage=sft+rl+eval"])
    roots = {name: getattr(config, name) for name in ("run", "jax", "checkpoint", "logging")}
    roots |= {**config.shared, **{f"stages.{name}": stage for name, stage in config.stages.items()}}
    found = [where for name, component in roots.items() for where in choices_of(component, name)]
    return list({re.sub(r"^stages\.\w+", "", where): where for where in found}.values())


@pytest.mark.parametrize("option", every_choice())
def test_a_listed_word_is_taken(option):
    message = said_of(chain_of(option), f"{option}=nonsense")
    assert message.startswith(f"{option}: expected ")
    words = re.findall(r"'(\w+)'", message.partition(", got")[0])
    assert words
    for word in words:
        compose_config([chain_of(option), f"{option}={word}"])


@pytest.mark.parametrize(
    "block", ["run", "jax.mesh", "checkpoint", "logging", "data", "engine", "stages.sft", "stages.rl"]
)
def test_a_listed_key_is_taken(block):
    message = said_of(chain_of(block), f"{block}.nothing_of_the_kind=1")
    keys = named(message, r"legal keys: (.*)$").split(", ")
    config = compose_config([chain_of(block)]).resolved
    for part in block.split("."):
        config = config[part]
    assert set(keys) == set(config)


@pytest.mark.parametrize("flag", ["--cfg", "-c"])
def test_a_listed_value_of_a_flag_is_taken(command, flag):
    status, _, err = command("stage=sft", flag, "none")
    assert status == 2
    values = named(err, r"expected (.*) after it").split(" or ")
    assert len(values) == 3
    for value in values:
        assert command("stage=sft", flag, value)[0] == 0, value


def test_one_of_two_flags_is_taken(command, refused):
    line = refused("stage=sft", "--cfg", "job", "--multirun")
    for flag in re.match(r"train: (\S+) job and (\S+) cannot be combined; give one of them", line).groups():
        rest = {"--cfg": "job", "-m": "--dry-run"}[flag]
        assert command("stage=sft", flag, rest)[0] == 0, flag


def test_the_help_lists_what_a_message_sends_there_for(command, refused):
    assert "train --help lists them" in refused("--nonsense")
    said = refused("stage=sft", "tokenizer=3")
    assert "expected a name for what is chosen here; train --help lists them" in said
    status, out, _ = command("--help")
    assert status == 0
    for flag in ("--print-config", "--dry-run", "--multirun", "--version"):
        assert flag in out
    for name in re.search(r"^tokenizer: (.*)$", out, re.MULTILINE)[1].split(", "):
        assert command("stage=sft", f"tokenizer={name}", "--print-config")[0] == 0
