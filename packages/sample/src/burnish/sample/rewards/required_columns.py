"""Whether the records have the columns that rewards read, which is asked before anything is computed."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.platform.configuration.component import fact
from burnish.platform.configuration.options import options_of
from burnish.platform.data.source import Record, Source
from burnish.platform.errors import ConfigError
from burnish.sample.rewards.protocol import RewardComponent


def require_columns(
    rewards: Mapping[str, RewardComponent], records: Source[Record] | Sequence[Record], data: Any, where: str
) -> None:
    """Raise ConfigError for a reward that reads a column that not one record of `data` has.

    What a reward reads it says by the fact `columns`. `where` is the place of the rewards in the config.
    """
    for label, component in rewards.items():
        for column in sorted(fact(component, "columns", frozenset[str]())):
            if not any(column in records[index] for index in range(len(records))):
                others = ", ".join(sorted(records[0]))
                place = f"{where}.{label}"
                another = f"choose another reward: {place}=format"
                instead = another if len(rewards) == 1 else f"leave it out: {place}=null"
                raise ConfigError(
                    f"{place} reads the column '{column}', which no record has; there are {others}; "
                    f"{_naming(component, column, data, place)}{instead}"
                )


def _naming(component: RewardComponent, column: str, data: Any, place: str) -> str:
    """Return how the right column is named: by the data's option for it, or by the reward's own."""
    options = [f"data.{name}" for name in options_of(type(data)) if name == f"{column}_field"]
    own = [name for name in options_of(type(component)) if getattr(component, name) == column]
    named = [f"{option}=COLUMN" for option in (*options, *(f"{place}.{name}" for name in own))]
    return f"name the right one by {' or '.join(named)}, or " if named else ""
