"""Run a chain of stages: open the run's directory, go through its stages in order, record how it ends."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from burnish.platform import report, resume
from burnish.platform.accelerator import apply_jax_config
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.component import shared_slot
from burnish.platform.config import Config
from burnish.platform.errors import BurnishError, ConfigError, Interrupted, LimitExceeded, RunError
from burnish.platform.interrupts import Interrupts
from burnish.platform.provenance import provenance
from burnish.platform.resume import StartingPoint
from burnish.platform.run import Run
from burnish.platform.run_directory import FinishedStage, RunDirectory, write_text
from burnish.platform.stage import Artifacts, SupportsPlan
from burnish.platform.stats import StatsLogger
from burnish.platform.summary import read_rows, summarize


@dataclass(frozen=True)
class RunResult:
    """A finished run: its directory, its summary, and what its last stage handed on."""

    directory: Path
    summary: Mapping[str, Mapping[str, float | str]]
    artifacts: Artifacts


def execute(config: Config, *, overrides: Sequence[str] = ()) -> RunResult:
    """Run the chain in its directory and return what it left there.

    Raises:
        BurnishError: the user can act on it; what was reached is saved and `status.json` says why it ended.
    """
    apply_jax_config(config.jax)
    root = RunDirectory(_locate(config))
    root.acquire()
    try:
        start = _start_or_resume(config, root, overrides)
        if start is None:
            return _result(config, root)
        return _run_recorded(config, root, start, overrides)
    finally:
        root.release()


def plan(config: Config) -> dict[str, Mapping[str, int | float | str]]:
    """Build every stage as far as shapes go and return its plan; writes nothing (`--dry-run`)."""
    apply_jax_config(config.jax)
    plans: dict[str, Mapping[str, int | float | str]] = {}
    for index, (name, stage_config) in enumerate(config.stages.items(), 1):
        root = RunDirectory(_locate(config))
        run = _stage_run(config, root, StartingPoint(index), index, Interrupts(), StatsLogger({}), [])
        stage = stage_config.build(run, **shared_components(config, stage_config))
        plans[name] = stage.plan() if isinstance(stage, SupportsPlan) else {}
    return plans


def shared_components(config: Config, stage_config: Any) -> dict[str, Any]:
    """Return the components of a stage's shared fields, by field name, as `build` takes them."""
    return {
        field.name: getattr(stage_config, field.name)
        for field in fields(stage_config)
        if shared_slot(field) is not None
    }


def _locate(config: Config) -> Path:
    """Return the directory of the run that the config names, or a new one of the chain and the UTC time."""
    output, wanted = Path(config.run.output_dir), config.checkpoint.resume_from
    if config.run.name is not None:
        return output / config.run.name
    if wanted in ("latest", "best"):
        raise ConfigError(f"checkpoint.resume_from={wanted} does not say of which run: set run.name=<its name>")
    if wanted is not None:
        found = resume.run_of_checkpoint(Path(wanted))
        return found if found is not None else output / "none"
    name = f"{'+'.join(config.stages)}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    taken = 1
    path = output / name
    while path.exists():
        taken += 1
        path = output / f"{name}-{taken}"
    return path


def _start_or_resume(config: Config, root: RunDirectory, overrides: Sequence[str]) -> StartingPoint | None:
    """Return where to start, None when the run is complete; refuse what would overwrite or mix runs."""
    exists = (root.path / "config.yaml").is_file()
    wanted = config.checkpoint.resume_from
    console = Console(stderr=True, soft_wrap=True)
    if not exists:
        if wanted not in (None, "latest"):
            raise RunError(f"checkpoint.resume_from={wanted}: there is no run in '{root.path}'; leave it out to start")
        write_text(root.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(config.resolved))))
        root.write_json("run.json", provenance(config, overrides))
        return resume.FRESH
    if wanted is None:
        raise RunError(
            f"run.name='{root.path.name}' exists in '{root.path.parent}'; go on with it by "
            "checkpoint.resume_from=latest, or set another run.name"
        )
    refused, warned = resume.differences(config, root)
    if refused:
        raise ConfigError(
            f"run.name='{root.path.name}' began with another config: {'; '.join(refused)}; "
            "take these back, or set another run.name"
        )
    if wanted == "latest" and root.is_complete:
        console.print(f"{root.path} is complete: nothing to resume", markup=False, highlight=False)
        return None
    for phrase in warned:
        console.print(f"warning: {phrase}: the run goes on, but not bit for bit", markup=False, highlight=False)
    start = resume.find_starting_point(config, root)
    resume.cut_after(root, start, config)
    return start


def _run_recorded(
    config: Config, root: RunDirectory, start: StartingPoint, overrides: Sequence[str]
) -> RunResult:
    """Run the stages from `start` and record the end, whatever it is."""
    root.status("running")
    try:
        with Interrupts() as interrupts:
            artifacts = _run_stages(config, root, start, interrupts, overrides)
    except (Interrupted, LimitExceeded) as end:
        root.status("interrupted" if isinstance(end, Interrupted) else "stopped", reason=str(end))
        raise
    except BaseException as error:
        phase = "refused" if isinstance(error, BurnishError) else "failed"
        root.status(phase, reason=f"{type(error).__name__}: {error}")
        raise
    summary = summarize(read_rows(root.metrics))
    root.write_json("summary.json", summary)
    root.status("complete")
    report.print_summary(root.path, list(config.stages), summary)
    return RunResult(root.path, summary, artifacts)


def _run_stages(
    config: Config, root: RunDirectory, start: StartingPoint, interrupts: Interrupts, overrides: Sequence[str]
) -> Artifacts:
    artifacts, global_step = Artifacts(), 0
    for index, (name, stage_config) in enumerate(config.stages.items(), 1):
        finished = root.finished_stage(index, name)
        if finished is None:
            logger = StatsLogger(
                {key: sink.build(root.path, config.logging) for key, sink in config.logging.sinks.items()}
            )
            run = _stage_run(config, root, start, index, interrupts, logger, overrides)
            run.first_global_step = global_step
            try:
                stage = stage_config.build(run, **shared_components(config, stage_config))
                artifacts = stage.run(artifacts)
            finally:
                logger.close()
            finished = FinishedStage(artifacts, run.last_global_step)
            root.finish_stage(index, name, finished)
        artifacts, global_step = finished.artifacts, finished.last_global_step
        root.write_json("summary.json", summarize(read_rows(root.metrics)))
    return artifacts


def _stage_run(
    config: Config,
    root: RunDirectory,
    start: StartingPoint,
    index: int,
    interrupts: Interrupts,
    logger: StatsLogger,
    overrides: Sequence[str],
) -> Run:
    name = list(config.stages)[index - 1]
    return Run(
        root=root,
        index=index,
        name=name,
        seed=config.run.seed,
        jax=config.jax,
        logger=logger,
        manager=CheckpointManager(root.stage(index, name) / "checkpoints", config.checkpoint),
        interrupts=interrupts,
        resume_step=start.step if index == start.stage_index else None,
        resume_command=_resume_command(config, root, overrides),
    )


def _resume_command(config: Config, root: RunDirectory, overrides: Sequence[str]) -> str:
    """Return the command that goes on with this run, quoted for a shell."""
    ours = ("run.name=", "checkpoint.resume_from=", "+file=")
    kept = [word for word in overrides if not word.startswith(ours)]
    file = [] if config.run.config_path is None else [config.run.config_path]
    words = ["train", *file, *kept, f"run.name={root.path.name}", "checkpoint.resume_from=latest"]
    return shlex.join(words)


def _result(config: Config, root: RunDirectory) -> RunResult:
    last = root.finished_stage(len(config.stages), list(config.stages)[-1])
    assert last is not None, "a complete run has finished its last stage"
    return RunResult(root.path, summarize(read_rows(root.metrics)), last.artifacts)
