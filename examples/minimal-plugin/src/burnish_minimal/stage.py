"""The `census` stage."""

from burnish.platform import Artifacts, DataComponent, DataContext, StageRun, StatsTracker
from burnish_minimal.config import Census


class CensusStage:
    """Counts records and writes one row; what it received it passes on."""

    def __init__(self, config: Census, run: StageRun, data: DataComponent) -> None:
        """Hold the options, the run and the data component."""
        self._config = config
        self._run = run
        self._data = data

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Count, commit row 0 and return `artifacts` as they are."""
        source = self._data.build(DataContext(split=self._config.split, artifacts=artifacts))
        for step in self._run.steps(0):
            stats = StatsTracker()
            with stats.scope("census"):
                stats.scalar("records", len(source))
                for index in range(min(len(source), self._config.max_records)):
                    stats.scalar("prompt_characters", len(source[index]["prompt"]))
            self._run.commit(step, stats)
        return artifacts

    def plan(self) -> dict[str, int | float | str]:
        """Return how many records would be read."""
        return {"split": self._config.split, "records read at most": self._config.max_records}
