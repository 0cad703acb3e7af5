"""Whether a run can record what `run.sweep_metric` names, as far as that is known before the first job."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from burnish.platform.configuration.config import Config
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.metric import registered_metrics
from burnish.platform.statistics.summary import MACHINE_SCOPES


def require_possible(config: Config) -> None:
    """Refuse a name that no stage records: one that no registered metric has, and that is much like another.

    A name that is like none may be a statistic that nobody has registered, and so may any name where the
    config names code by its import path. What only a `<label>` allows counts where the config has something
    of that name.

    Raises:
        ConfigError: the name is of none, or of one that `summary.json` leaves out.
    """
    metric = config.run.sweep_metric
    if metric is None:
        return
    known = [registered.name for registered in registered_metrics()]
    stage, _, rest = metric.partition("/")
    name = rest if stage in ("initial", *config.stages) and not _fits(metric, known) else metric
    if name.startswith(MACHINE_SCOPES):
        raise ConfigError(
            f"run.sweep_metric={metric}: a summary has nothing that depends on the clock or the machine, "
            f"as all under {', '.join(MACHINE_SCOPES)} does; name another metric"
        )
    if all(component.distribution is not None for component in config.components):
        _require_registered(metric, name, known, config)


def _require_registered(metric: str, name: str, known: list[str], config: Config) -> None:
    scope, _, own = name.partition("/")
    if scope not in {other.partition("/")[0] for other in known}:
        return
    plain = [other for other in known if "<" not in other and not other.startswith(MACHINE_SCOPES)]
    is_typo = suggestion(own, [other.removeprefix(f"{scope}/") for other in plain if other.startswith(scope)])
    if _fits(name, known, labels=_keys(config.resolved)) or (_fits(name, known) and not is_typo):
        return
    if near := suggestion(metric, [metric.removesuffix(name) + other for other in plain]):
        raise ConfigError(
            f"run.sweep_metric={metric}: no metric is called so{near}; name one that "
            "`burnish describe metrics` lists"
        )


def _fits(name: str, known: Iterable[str], labels: Iterable[str] | None = None) -> bool:
    """Say whether a name is that of a registered metric, whose `<label>` is one of some or anything."""
    label = ".+" if labels is None else f"({'|'.join(map(re.escape, labels))})"
    patterns = (re.escape(other).replace("<label>", label) for other in known)
    return any(re.fullmatch(re.sub(r"<\w+>", ".+", pattern), name) for pattern in patterns)


def _keys(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what anything in a config is called, labels among them."""
    for key, value in options.items():
        yield key
        if isinstance(value, Mapping):
            yield from _keys(cast("Mapping[str, Any]", value))
