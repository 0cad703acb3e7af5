"""Regular expressions among a component's options."""

import re

from burnish.platform.errors import ConfigError


def compiled(name: str, pattern: str, *, needs_group: bool = False) -> re.Pattern[str]:
    """Return the expression that option `name` holds; ConfigError where it is none, or lacks its group."""
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{name}={pattern!r} is no regular expression: {error}") from error
    if needs_group and found.groups < 1:
        raise ConfigError(f"{name}={pattern!r} needs a group around what is wanted, as in '#### (.+)'")
    return found
