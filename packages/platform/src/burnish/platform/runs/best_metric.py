"""Whether anybody reports the metric that `checkpoint.keep_best` names: told at a stage's first rows."""

from collections.abc import Collection

from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.metric import shown_metrics

_FIRST_ROWS = 2
"""Row 0 has what evaluations report, and row 1 what training does."""


class BestMetric:
    """Look at the names in a stage's first rows."""

    def __init__(self, metric: str | None, *, is_last: bool) -> None:
        """Expect `metric`; only the last stage can tell that nobody reports it."""
        self._metric = metric
        self._is_last = is_last
        self._seen = set[str]()

    def see(self, step: int, names: Collection[str]) -> None:
        """Take note of a row; ConfigError once the first rows are there without the metric.

        One that is registered is believed to come.
        """
        if self._metric is None or step >= _FIRST_ROWS:
            return
        self._seen |= set(names)
        known = self._seen | {metric.name for metric in shown_metrics()}
        if self._is_last and step == _FIRST_ROWS - 1 and self._metric not in known:
            raise ConfigError(
                f"checkpoint.keep_best={self._metric}: no row has this metric"
                f"{suggestion(self._metric, sorted(known))}; there are {', '.join(sorted(known))}"
            )
