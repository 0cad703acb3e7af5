"""Numbers that must lie in a range."""

from burnish.platform.errors import ConfigError


def check_range(name: str, value: object, is_legal: bool, legal: str) -> None:
    """Raise ConfigError naming the option, its value and what is legal, unless it is."""
    if not is_legal:
        raise ConfigError(f"`{name}={value}` is out of range; legal: {legal}")
