"""Which statistics are worth a glance while a run goes on: whoever records one registers it.

An entry point of the group `burnish.metric` names a `Metric`, in a module that imports nothing heavy.
"""

from dataclasses import dataclass
from itertools import chain

from burnish.platform.configuration.registry import METRICS, Provider, claims, load
from burnish.platform.errors import ComponentError


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A statistic that the console shows, and that the table at a run's end never leaves out."""

    name: str
    """What it is recorded as: `<scope>/<name>`."""
    label: str
    """The word before its value; of a rate, what is counted."""
    order: int = 100
    """Where it stands: the lowest first."""
    is_rate: bool = False
    """Whether it is a count, shown as its sum per second."""
    replaces: tuple[str, ...] = ()
    """Names that are not shown beside it."""


def registered_metrics() -> list[Metric]:
    """Return what the installed packages have registered, in the order it is shown.

    Raises:
        ComponentError: a registration fails to import or is no `Metric`, or one statistic has two.
    """
    found: dict[str, tuple[Metric, Provider]] = {}
    for registered in chain.from_iterable(claims(METRICS).values()):
        metric = load(registered)
        where = f"{registered.origin} ({registered.value})"
        if not isinstance(metric, Metric):
            raise ComponentError(f"metric '{registered.name}' of {where} is no Metric")
        _, other = found.setdefault(metric.name, (metric, registered))
        if other is not registered:
            raise ComponentError(
                f"metric '{metric.name}' is registered by {other.origin} ({other.value}) and by {where}; "
                "uninstall one"
            )
    return sorted((metric for metric, _ in found.values()), key=lambda metric: (metric.order, metric.name))
