"""Reading a `config.json`: values of the right type, defaults, and refusals that name family and key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from burnish.platform.configuration.option_types import check
from burnish.platform.errors import ConfigError


@dataclass(frozen=True)
class HFConfig:
    """The values of a `config.json`, or of a part of it, as a family reads them."""

    values: Mapping[str, Any]
    family: str

    def get(self, name: str) -> Any:
        """Return a value as it is, None where there is none."""
        return self.values.get(name)

    def value(self, name: str, kind: Any, default: Any = None) -> Any:
        """Return a value of a type, the default where it is absent or null; ConfigError without either."""
        value = self.values.get(name)
        if value is not None:
            return check(name, kind, value)
        if default is None:
            raise ConfigError(f"'{name}' is missing, and {self.family} needs it")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """Return whether something is so."""
        return self.value(name, bool, default)

    def part(self, name: str) -> "HFConfig":
        """Return the mapping under a key, empty where there is none."""
        return HFConfig(self.value(name, dict[str, Any], {}), self.family)

    def refuse(self, feature: str, remedy: str) -> NoReturn:
        """Raise the ConfigError of a feature that would change the numbers in silence."""
        raise ConfigError(f"{self.family} here does not support {feature} ({remedy})")
