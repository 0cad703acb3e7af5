"""Numbers of a component's options that must lie in a range."""

from burnish.platform.errors import ConfigError


def require_range(name: str, value: object, is_legal: bool, legal: str) -> None:
    """Raise ConfigError naming the option, its value and what is legal, unless it is."""
    if not is_legal:
        raise ConfigError(f"{name}={value} is out of range; legal: {legal}")


def require_at_least(least: int, options: object, *names: str) -> None:
    """Raise ConfigError for the first of these options that is below `least`."""
    for name in names:
        value = getattr(options, name)
        require_range(name, value, value >= least, f"{least} or more")


def require_above_zero(options: object, *names: str) -> None:
    """Raise ConfigError for the first of these options that is 0 or below."""
    for name in names:
        value = getattr(options, name)
        require_range(name, value, value > 0, "above 0")
