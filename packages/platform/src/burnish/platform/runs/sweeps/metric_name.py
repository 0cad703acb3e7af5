"""Whether a run can record what `run.sweep_metric` names, as far as that is known before the first job."""

import re

from burnish.platform.configuration.config import Config
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.metric import registered_metrics
from burnish.platform.statistics.summary import MACHINE_SCOPES


def require_possible(config: Config) -> None:
    """Refuse a name that no stage records.

    It is one that fits no registered metric, where its scope has some. Under a scope of its own, and in code
    that the config names by its import path, a statistic needs no registration.

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
    is_registrable = all(component.distribution is not None for component in config.components)
    scopes = {other.partition("/")[0] for other in known}
    if is_registrable and name.partition("/")[0] in scopes and not _fits(name, known):
        legal = [
            metric.removesuffix(name) + other
            for other in known
            if "<" not in other and not other.startswith(MACHINE_SCOPES)
        ]
        raise ConfigError(
            f"run.sweep_metric={metric}: no metric is called so{suggestion(metric, legal)}; name one that "
            "`burnish describe metrics` lists"
        )


def _fits(name: str, known: list[str]) -> bool:
    """Say whether a name is that of a registered metric, whatever the user calls its `<label>`."""
    return any(re.fullmatch(re.sub(r"<\w+>", ".+", re.escape(other)), name) for other in known)
