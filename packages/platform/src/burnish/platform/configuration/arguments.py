"""The words after `train`, told apart: flags of ours, flags of Hydra's, and what is to be composed.

Hydra's own parser answers a wrong flag with several lines, and does not take a flag between two overrides.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError

OURS = ("--dry-run", "--version")
PLAIN = ("--help", "-h", "--hydra-help", "--resolve", "--multirun", "-m", "--run", "-r")
VALUED = {"--cfg": ("job", "hydra", "all"), "--package": (), "--config-dir": ()}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
PRINT = "--print-config"
"""Is `--cfg job` in words."""
SHORT = {"-c": "--cfg", "-p": "--package", "-cd": "--config-dir", "-i": "--info", "-sc": "--shell-completion"}
FLAGS = (*OURS, PRINT, *PLAIN, *VALUED, "--info", "--shell-completion", *SHORT)
PATH = re.compile(r"[A-Za-z][\w-]*(\.[\w-]+)*(?<!\.yaml)(?<!\.yml)")
CHOICE = re.compile(r"\w+=[\w.:-]+")
HELP = ("--help", "-h")
ONE = {"--multirun": "-m", "--run": "-r"}
"""Two spellings of one flag."""
COMMANDS = ("--cfg", "--info", "--multirun", "-m", "--run", "-r", "--shell-completion")
"""Flags that say what is to be done; at most one."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What a command line asks for."""

    overrides: tuple[str, ...]
    """What is composed: a file, `key=value`, `+group=option`, in the order given."""

    paths: tuple[str, ...]
    """Options, sections and components (`slot=name`) that are to be explained, with `--help`."""

    flags: tuple[str, ...]
    """What Hydra is told."""

    is_dry_run: bool
    is_print: bool
    """Whether the config is printed; Hydra's `--resolve` and `--package` leave that to Hydra."""

    is_version: bool

    @property
    def is_sweep(self) -> bool:
        """Whether every combination of comma-separated values is run."""
        words = {word.lstrip("+") for word in self.overrides}
        return bool({"-m", "--multirun"} & {*self.flags}) or "hydra.mode=MULTIRUN" in words

    @property
    def asks(self) -> bool:
        """Whether Hydra is to show something, and nothing is to be run."""
        shown = {"--cfg", "--package", "--resolve", "--info", "--hydra-help", "--shell-completion"}
        return self.is_help or bool(shown & {*self.flags})

    @property
    def is_help(self) -> bool:
        """Whether the components, presets and options are listed."""
        return "-h" in self.flags or "--help" in self.flags


def parse(words: Sequence[str]) -> Arguments:
    """Return the words told apart; ConfigError for a flag that is unknown, incomplete or one too many.

    A flag that is given twice is one flag.
    """
    given: list[tuple[str, ...]] = []
    typed: list[str] = []
    after_help: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            given.append(_flag(word, rest))
            continue
        typed.append(word)
        if {*HELP} & {name for name, *_ in given}:
            after_help.append(word)
    given = list(dict.fromkeys(given))
    commands = [" ".join(flag) for flag in given if flag[0] in COMMANDS]
    if len(commands) > 1:
        raise ConfigError(f"{' and '.join(commands)} cannot be combined; give one of them")
    names = {name for name, *_ in given}
    paths, overrides = _asked(typed, after_help, names)
    of_hydra = tuple(part for flag in given for part in flag if flag[0] not in OURS)
    return Arguments(
        overrides=tuple(overrides),
        paths=tuple(paths),
        flags=of_hydra,
        is_dry_run="--dry-run" in names,
        is_print=of_hydra == ("--cfg", "job"),
        is_version="--version" in names,
    )


def _flag(word: str, rest: list[str]) -> tuple[str, ...]:
    """Return the flag that a word is, in its one spelling, with the value that it takes from the rest."""
    name, equals, value = word.partition("=")
    if name not in FLAGS:
        raise ConfigError(f"unknown flag '{name}'{suggestion(name, FLAGS)}; train --help lists them")
    name = SHORT.get(name, name)
    if equals and name in (*OURS, PRINT, *PLAIN):
        raise ConfigError(f"{name} takes no value, got '{value}'")
    if equals:
        rest.insert(0, value)
    if name == PRINT:
        return ("--cfg", "job")
    if name in VALUED:
        return (name, _value(name, rest))
    if name == "--info" and rest and rest[0] in INFO:
        return (name, rest.pop(0))
    return (ONE.get(name, name),)


def _asked(
    typed: Sequence[str], after_help: Sequence[str], flags: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return what is to be explained and what is to be composed.

    With `--help`, a path wherever it stands; else the components that follow it.
    """
    if not {*HELP} & {*flags}:
        return [], list(typed)
    others = [flag for flag in flags if flag not in HELP]
    paths = [word for word in typed if PATH.fullmatch(word)]
    if paths and others:
        raise ConfigError(f"--help {paths[0]} explains an option; give no other flag with it")
    if not paths and not others:
        chosen = [word for word in after_help if CHOICE.fullmatch(word)]
        return chosen, [word for word in typed if word not in chosen]
    return paths, [word for word in typed if word not in paths]


def _value(flag: str, rest: list[str]) -> str:
    legal = VALUED[flag]
    if not rest or (legal and rest[0] not in legal):
        got = f", got '{rest[0]}'" if rest else ""
        raise ConfigError(f"{flag}: expected {' or '.join(legal) or 'a value'} after it{got}")
    return rest.pop(0)
