"""Hydra's errors as one line each: what, where, what would be legal, what to type instead."""

import re
import traceback
from collections.abc import Callable, Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from burnish.platform.configuration.bare_word import BARE, said_of_bare
from burnish.platform.configuration.registry import known_slots
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.configuration.unknown_key import elsewhere, unknown
from burnish.platform.errors import BurnishError

NO_MATCH = re.compile(r"Could not override '(?P<key>[^']+)'\.?\s+(No match|Did you mean)")
WRAPPER = re.compile(r"In '.*': \w+ raised while composing config:$")
SEVERAL = re.compile(r"Ambiguous value for argument '(?P<word>.+)'")
NO_NAME = "expected a name for what is chosen here; train --help lists them"
NO_PAIR = "this is no key=value"
SAID = {
    "Config group override must be a string or a list": NO_NAME,
    "argument of type 'int' is not iterable": NO_NAME,
    "Error parsing override": NO_PAIR,
    "no viable alternative": "a bracket or a quote is missing or one too many",
    "LexerNoViableAltException": "a character here has to be in quotes",
    "Cannot merge DictConfig with ListConfig": "expected a mapping of options, got a list",
}
"""Sentences of Hydra's that speak of Hydra, in words of what was typed."""

_COMPOSERS = ("hydra", "omegaconf", "antlr4", "yaml")
"""Modules that read what a user has written."""

LONGEST = 300
"""Characters of a word that a message shows."""

Compose = Callable[[Sequence[str]], DictConfig | None]
"""Composes what it can of arguments, to look things up in; None where that is nothing."""


def is_refusal(error: Exception) -> bool:
    """Say whether Hydra has refused what it was given.

    It also lets out whatever its parsers stumble over, such as a ValueError of `int`: what is raised in its
    modules while it composes is about the words, and no bug of ours.
    """
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return True
    if isinstance(error, (BurnishError, BrokenPipeError)) or error.__traceback__ is None:
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _COMPOSERS


def explain(error: Exception, arguments: Sequence[str], compose: Compose) -> str:
    """Return one line about an error that Hydra raised on these arguments."""
    behind = error.__cause__ or error.__context__
    cause = behind if isinstance(behind, Exception) else error
    no_match = NO_MATCH.search(str(error))
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, OverrideParseException):
        word = _shortened(error.override)
        if BARE.fullmatch(word):
            return said_of_bare(word, arguments, compose([each for each in arguments if each.find("=") > 0]))
        word = next((typed for typed in arguments if word == f"++{typed}"), word)
        said = _first_line(error)
        said = "this cannot be read" if "=" in word and said == NO_PAIR else said
        return f"'{word}': {said}; write key=value, special characters in quotes"
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.full_key:
        return _unknown_key(str(cause.full_key), arguments, compose)
    if several := SEVERAL.match(str(error)):
        return f"'{_shortened(several['word'])}': several values; add -m to run each, or write one in quotes"
    if no_match is not None:
        return _unknown_choice(no_match["key"], arguments, compose)
    for source in (error, cause):
        if where := getattr(source, "full_key", None):
            return f"{where}: {_first_line(source)}"
    return _about_a_word(error, arguments, compose)


def _missing_option(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = list(error.options or [])
    if group and not name:
        return f"{group}= has no value; available: {', '.join(options) or 'none'}"
    if not group:
        return f"there is no config '{name}'"
    return f"unknown {group} '{name}'{suggestion(name, options)}; available: {', '.join(options) or 'none'}"


def _unknown_key(key: str, arguments: Sequence[str], compose: Compose) -> str:
    """Compose once more without the override at fault, to see what keys there are in its place."""
    above = tuple(f"{key[:dot]}={{" for dot, letter in enumerate(key) if letter == ".")
    words = [word for word in arguments if word.startswith((key, *above))]
    parts = key.split(".")
    composed = compose([word for word in arguments if word not in words])
    if composed is None:  # another option is wrong too
        composed = compose([word for word in arguments if "." not in word.partition("=")[0]])
    if composed is None:
        return f"{key}: unknown key"
    for depth in range(1, len(parts)):
        path = ".".join(parts[:depth])
        parent = OmegaConf.select(composed, ".".join(parts[: depth - 1])) if depth > 1 else composed
        if isinstance(parent, DictConfig) and OmegaConf.is_interpolation(parent, parts[depth - 1]):
            return _shared(path, parts[depth - 1], words[0] if words else key, composed)
    parent_path = ".".join(parts[:-1])
    parent = OmegaConf.select(composed, parent_path) if parent_path else composed
    if not isinstance(parent, DictConfig):
        return f"{key}: unknown key; '{parent_path}' has no options"
    legal = [str(name) for name in parent if name != "hydra"]
    typed = words[0].partition("=")[0].lstrip("+") if words else key
    if said := elsewhere(key, composed, typed):
        return said
    if parent_path == "stages":
        return f"{key}: the chain has no such block{suggestion(parts[-1], legal)}; it has {', '.join(legal)}"
    if legal in ([], ["use"]):
        what = f"'{parent.use}'" if legal else f"'{parent_path}'"
        return f"{key}: unknown key; {what} has no options"
    return unknown(key, legal, composed)


def _shared(path: str, name: str, word: str, composed: DictConfig) -> str:
    choice = composed.hydra.runtime.choices.get(name)
    rest = word.removeprefix(path)
    return (
        f"{path} is the shared '{name}': set {name}{rest} for every stage, or give this block its own by "
        f"+{name}@{path}={choice} {word}"
    )


def _unknown_choice(key: str, arguments: Sequence[str], compose: Compose) -> str:
    composed = compose([word for word in arguments if not word.startswith(f"{key}=")])
    choices = [] if composed is None else [str(choice) for choice in composed.hydra.runtime.choices]
    near = [choice for choice in choices if choice.partition("@")[0] == key.partition("@")[0]]
    if near:
        return (
            f"'{key}' is not chosen at the top; did you mean {' or '.join(f'{choice}=' for choice in near)}?"
        )
    if key.isidentifier() and key not in known_slots():
        words = "" if composed is None else _preset(key, arguments, composed, compose)
        return f"'{key}' is a group of presets" + (
            f": write {words}" if words else "; train --help lists them"
        )
    return f"{key}: no stage of the chain has this slot; choose a stage that has it, or leave it out"


def _preset(key: str, arguments: Sequence[str], composed: DictConfig, compose: Compose) -> str:
    """Return the words that put a preset where it goes: the whole config, or blocks whose options it sets."""
    name = next((word for word in arguments if word.startswith(f"{key}=")), "").partition("=")[2]
    others = [word for word in arguments if not word.startswith(f"{key}=")]
    whole = compose([*others, f"+{key}={name}"])
    places = [key] if whole is not None and key not in whole else []
    for block in [] if places else _keys(composed, "stages"):
        changed = compose([*others, f"+{key}@stages.{block}={name}"])
        path = f"stages.{block}"
        if changed is not None and _keys(changed, path) == _keys(composed, path):
            places.append(f"{key}@stages.{block}")
    return " or ".join(f"+{place}={name}" for place in places)


def _keys(composed: DictConfig, path: str) -> list[str]:
    return [str(key) for key in OmegaConf.select(composed, path)]


def _about_a_word(error: Exception, arguments: Sequence[str], compose: Compose) -> str:
    """Say where it is: the option that does not resolve, or the word without which all is composed."""
    said = _first_line(error)
    if isinstance(error, RecursionError):
        said = "nested too deep for any option"
    composed = compose(arguments)
    if composed is not None:
        return f"{_unresolved(composed, '') or 'the config'}: {said}"
    others = {word: [other for other in arguments if other != word] for word in reversed(arguments)}
    guilty = next((word for word, rest in others.items() if compose(rest) is not None), None)
    return said if guilty is None else f"'{_shortened(guilty)}': {said}"


def _unresolved(node: DictConfig, path: str) -> str | None:
    """Return the path of the first `${...}` that leads nowhere."""
    for key in [str(key) for key in node if key != "hydra"]:
        where = f"{path}.{key}".lstrip(".")
        try:
            child = node[key]
        except OmegaConfBaseException:
            return where
        if isinstance(child, DictConfig) and not OmegaConf.is_interpolation(node, key):
            found = _unresolved(child, where)
            if found is not None:
                return found
    return None


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if not WRAPPER.match(line)]
    line = lines[0] if lines else type(error).__name__
    return next((ours for theirs, ours in SAID.items() if line.startswith(theirs)), _shortened(line))


def _shortened(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
