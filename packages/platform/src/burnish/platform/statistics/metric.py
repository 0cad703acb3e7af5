"""What the recorded statistics mean, and which are worth a glance: whoever records one registers it.

An entry point of the group `burnish.metric` names a `Metric` or a tuple of them, in a module that imports
nothing heavy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from burnish.platform.configuration.registry import METRICS, Provider, claims, load
from burnish.platform.errors import ComponentError


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A statistic in the rows of a run."""

    name: str
    """What it is recorded as: `<scope>/<name>`, with `<label>` for what a user names."""
    meaning: str = ""
    """What it says, and its unit."""
    label: str | None = None
    """The word before its value on the console and in the table at a run's end, of a rate what is counted;
    None where it is shown on neither."""
    order: int = 100
    """Where it stands: the lowest first."""
    is_rate: bool = False
    """Whether it is a count, shown as its sum per second, and recorded so of every step: see `rate_of`."""
    replaces: tuple[str, ...] = ()
    """Names that are not shown beside it."""


def rate_of(name: str) -> str:
    """Return what the speed of a count is recorded as, per second of the whole step."""
    return f"perf/{name}_per_second"


def registered_metrics() -> list[Metric]:
    """Return what the installed packages have registered, in the order it is shown.

    Raises:
        ComponentError: a registration fails to import or is no `Metric`, or one statistic has two.
    """
    found: dict[str, tuple[Metric, Provider]] = {}
    for registered in chain.from_iterable(claims(METRICS).values()):
        for metric in _loaded(registered):
            _, other = found.setdefault(metric.name, (metric, registered))
            if other is not registered:
                raise ComponentError(
                    f"metric '{metric.name}' is registered by {_where(other)} and by {_where(registered)}; "
                    "uninstall one"
                )
    return sorted((metric for metric, _ in found.values()), key=lambda metric: (metric.order, metric.name))


def shown_metrics() -> list[Metric]:
    """Return those that the console shows, in their order."""
    return [metric for metric in registered_metrics() if metric.label is not None]


def describe_metrics() -> Iterator[tuple[str, str]]:
    """Yield the name and meaning of every registered statistic, by name."""
    for metric in sorted(registered_metrics(), key=lambda metric: metric.name):
        yield metric.name, metric.meaning


def _loaded(registered: Provider) -> tuple[Metric, ...]:
    loaded = load(registered)
    metrics = cast("tuple[Any, ...]", loaded) if isinstance(loaded, tuple) else (loaded,)
    if not all(isinstance(metric, Metric) for metric in metrics):
        raise ComponentError(f"metric '{registered.name}' of {_where(registered)} is no Metric")
    return metrics


def _where(registered: Provider) -> str:
    return f"{registered.origin} ({registered.value})"
