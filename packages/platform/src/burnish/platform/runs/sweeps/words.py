"""Which jobs the words of a sweep stand for: all of them, or those that are worth a look beforehand."""

import re
from collections.abc import Iterator, Sequence
from typing import cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override

from burnish.platform.errors import ConfigError

_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_SHUFFLE = re.compile(r"\bshuffle\s*\(")


def refuse_shuffle(words: Sequence[str]) -> None:
    """Refuse what Hydra draws anew whenever it reads a word: check, jobs and a resume would differ."""
    for word in words:
        key, _, value = word.partition("=")
        if _SHUFFLE.search(_QUOTED.sub("", value)):
            raise ConfigError(f"{key}: shuffle(...) draws another order each time; write the values out")


def parse_words(words: Sequence[str], loader: ConfigLoader) -> list[Override]:
    """Return the words as Hydra reads them; a HydraException for one that it cannot read."""
    return OverridesParser.create(config_loader=loader).parse_overrides(list(words))


def swept_keys(overrides: Sequence[Override]) -> list[str]:
    """Return the keys that have several values, in their order."""
    return [override.get_key_element() for override in overrides if override.is_sweep_override()]


def first_values(overrides: Sequence[Override]) -> list[str]:
    """Return the words of the first job: of several values the first one, of an interval its beginning."""
    return [next(_spelled(override)) for override in overrides]


def every_job(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the words of each job of Hydra's own sweeper, in its order."""
    (jobs,) = BasicSweeper.split_arguments(list(overrides), None)
    return jobs


def trials(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the first values, then each other value of a word beside the first ones of all others.

    They stand for the jobs of a sweeper that makes them as it goes: of an interval they hold both ends.
    """
    first = first_values(overrides)
    others = [
        [*first[:at], word, *first[at + 1 :]]
        for at, override in enumerate(overrides)
        for word in list(_spelled(override))[1:]
    ]
    return [first, *others]


def _spelled(override: Override) -> Iterator[str]:
    """Yield a word once for each of its values, as Hydra hands them to a job."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        yield str(override.input_line)
    elif override.is_interval_sweep():
        interval = cast("IntervalSweep", override.value())
        yield from (f"{key}={end}" for end in (interval.start, interval.end))
    else:
        yield from (f"{key}={value}" for value in override.sweep_string_iterator())
