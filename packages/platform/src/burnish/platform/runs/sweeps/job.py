"""One job of a sweep: what Hydra's launcher calls, in this process or in another one."""

import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from burnish.platform.configuration.composition import checked, typed_overrides
from burnish.platform.configuration.config import Config
from burnish.platform.configuration.culprit import note_maker
from burnish.platform.errors import BurnishError, Interrupted, line_of
from burnish.platform.lasting_console import LastingConsole
from burnish.platform.runs.interrupts import pending_signal
from burnish.platform.runs.opening import locate
from burnish.platform.runs.sweeps.records import JobRecord, read_records, write_record
from burnish.platform.statistics.summary import value_of


class Stopped(BaseException):
    """An interrupt on its way through Hydra, which would go on to the next job."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Run what Hydra has composed, record what comes of it, and return its value."""

    sweep: str
    """What the runs are called, before the job's number."""

    directory: Path
    """The directory of the sweep."""

    swept: Collection[str]
    """Keys of the words with several values."""

    spelling: Mapping[str, str]
    """How the user has typed a key; a whole word where it has no value."""

    is_numbered: bool
    """Whether the runs are called after the sweep; else the config names each."""

    is_local: bool
    """Whether the jobs run in the process of the sweep."""

    tells_failures: bool
    """Whether the sweeper is to hear of a failure, as one that decides by values is."""

    def __call__(self, composed: DictConfig) -> float | None:
        """Run a job and return its value; None where none is asked for, or a failed job has none."""
        node = HydraConfig.get()
        with open_dict(composed):
            composed.hydra = node
        record = JobRecord(
            job=int(node.job.num), words=self.words(composed), output_dir=str(node.runtime.output_dir)
        )
        try:
            record = self._begun(record)
            config = self.config(composed)
            record = replace(record, run=str(self.run_of(config, composed)))
            self._announce(record)
            value = _value_of_run(config, record)
        except Exception as error:
            self._record_failure(record, error)
            if self.tells_failures:
                raise
            return None
        write_record(self.directory, replace(record, phase="complete", value=value))
        return value

    def config(self, composed: DictConfig) -> Config:
        """Return the checked config of a job, its run called after the sweep and the job."""
        run, checkpoint = composed.get("run"), composed.get("checkpoint")
        is_named = raw_name(composed) is not None
        is_new = isinstance(checkpoint, DictConfig) and checkpoint.get("resume_from") is None
        if self.is_numbered and isinstance(run, DictConfig) and (is_named or is_new):
            with open_dict(composed):
                run.name = f"{self.sweep}-{composed.hydra.job.num}"
        return checked(composed)

    def run_of(self, config: Config, composed: DictConfig) -> Path:
        """Return the directory of a job's run, seen from where the sweep was started."""
        node = composed.hydra
        return Path(str(node.runtime.output_dir) if node.job.chdir else "") / locate(config)

    def words(self, composed: DictConfig) -> list[str]:
        """Return the words of a job as the user would type them."""
        return [self.typed(word) for word in typed_overrides(composed)]

    def told(self, words: Collection[str]) -> str:
        """Return the words that differ between jobs."""
        keys = self.typed_keys
        return " ".join(word for word in words if "".join(word.partition("=")[:2]) in keys)

    @property
    def typed_keys(self) -> set[str]:
        """What the user has typed of the words with several values, up to the `=` and with it."""
        return {self.spelling.get(key, f"{key}=") for key in self.swept}

    def typed(self, word: str) -> str:
        """Return a word of Hydra's as the user would type it."""
        key, _, value = word.partition("=")
        typed = self.spelling.get(key)
        return word if typed is None else f"{typed}{value}" if typed.endswith("=") else typed

    def _begun(self, record: JobRecord) -> JobRecord:
        """Record that a job runs; a job that is due after an interrupt does not begin."""
        pending = pending_signal()
        if pending is not None:
            raise Interrupted("not begun, since a signal came before it", pending)
        stopped = [other for other in read_records(self.directory) if other.phase == "interrupted"]
        if stopped:
            by = stopped[0]
            raise Interrupted(f"not begun, since job {by.job} was interrupted", by.exit_status - 128)
        write_record(self.directory, record)
        return record

    def _announce(self, record: JobRecord) -> None:
        write_record(self.directory, record)
        line = f"job {record.job}: {self.told(record.words)}".rstrip(": ")
        LastingConsole(soft_wrap=True).print(f"{line} -> {record.run}", markup=False, highlight=False)

    def _record_failure(self, record: JobRecord, error: Exception) -> None:
        is_known = isinstance(error, BurnishError)
        reason = line_of(error) if is_known else f"{type(error).__name__}: {line_of(error)}"
        phase = "interrupted" if isinstance(error, Interrupted) else "failed"
        status = error.exit_status if is_known else 1
        write_record(self.directory, replace(record, phase=phase, reason=reason, exit_status=status))
        if isinstance(error, Interrupted):
            if self.is_local:
                raise Stopped from error
            return
        if not is_known:
            note_maker(error)
            traceback.print_exception(error)
        LastingConsole(stderr=True, soft_wrap=True).print(
            f"job {record.job} failed: {reason}", markup=False, highlight=False
        )


def raw_name(composed: DictConfig) -> str | None:
    """Return the name of the run as it is written, a `${...}` in it unresolved."""
    run = composed.get("run")
    if not isinstance(run, DictConfig):
        return None
    name = cast("dict[str, Any]", OmegaConf.to_container(run, resolve=False)).get("name")
    return name if isinstance(name, str) else None


def _value_of_run(config: Config, record: JobRecord) -> float | None:
    from burnish.platform.runs import pipeline

    result = pipeline.execute(config, overrides=record.words)
    metric = config.run.sweep_metric
    return None if metric is None else value_of(result.summary, metric)
