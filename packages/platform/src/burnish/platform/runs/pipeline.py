"""Run a chain of stages in order, and record how the run ends, whatever ends it."""

import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from burnish.platform.activity import busy
from burnish.platform.checkpoint.backend import CheckpointComponent, require_backend
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import Config, Sections
from burnish.platform.configuration.conformance import built
from burnish.platform.configuration.options import options_of
from burnish.platform.device.mesh import arranged
from burnish.platform.device.processes import is_primary
from burnish.platform.device.taking import take_devices
from burnish.platform.errors import BurnishError, ConfigError, DiskError, Interrupted, LimitExceeded, placed
from burnish.platform.runs import report, supply
from burnish.platform.runs.checkpoints import checkpoints_of
from burnish.platform.runs.finished_stage import FinishedStage
from burnish.platform.runs.interrupts import Interrupts
from burnish.platform.runs.opening import locate, start_or_resume
from burnish.platform.runs.out_of_memory import naming_sizes
from burnish.platform.runs.remains import resume_command, telling
from burnish.platform.runs.resume import FRESH, StartingPoint
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.stage import CheckContext, Stage, SupportsCheck, SupportsPlan
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.logger import StatsLogger, open_logger
from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.sink import RunEnd, SinkComponent, SinkContext, require_own_places
from burnish.platform.statistics.summary import Summary, summarize


@dataclass(frozen=True)
class RunResult:
    """A finished run: its directory, its summary, and what its last stage handed on."""

    directory: Path
    summary: Summary
    artifacts: Artifacts


def execute(config: Config, *, overrides: Sequence[str] = ()) -> RunResult:
    """Run the chain in its directory and return what it left there.

    Raises:
        BurnishError: the user can act on it; what was reached is saved and `status.json` says why it ended.
    """
    check(config)
    root = RunDirectory(locate(config), is_primary=is_primary())
    with Interrupts(resume_command(root, overrides)) as interrupts, ExitStack() as held:
        root.acquire()
        held.callback(root.release)
        with telling(config, root, overrides):
            start = start_or_resume(config, root, overrides)
            if start is not None:
                _run_recorded(_Chain(config, root, start, tuple(overrides), interrupts))
    last = root.finished_stage(len(config.stages), list(config.stages)[-1])
    assert last is not None, "a complete run has finished its last stage"
    return RunResult(root.path, _summary(root, config), last.artifacts)


def plan(config: Config) -> dict[str, Mapping[str, int | float | str]]:
    """Build every stage as far as shapes go and return its plan; writes nothing (`--dry-run`)."""
    check(config)
    chain = _Chain(config, RunDirectory(locate(config), is_primary=False), FRESH)
    plans: dict[str, Mapping[str, int | float | str]] = {}
    for index, name in enumerate(config.stages, 1):
        if awaited := supply.awaited(config, name):
            plans[name] = {"known once the stages before have run": ", ".join(awaited)}
            continue
        with naming_sizes(config, name):
            stage = chain.build(index, chain.stage_run(index, StatsLogger({})))
            plans[name] = stage.plan() if isinstance(stage, SupportsPlan) else {}
    return plans


def check(config: Config, *, on_devices: bool = True) -> None:
    """Raise ConfigError where devices, stages and components do not go together; nothing is written yet.

    Where the run belongs to another process this one leaves the devices alone.
    """
    devices = take_devices(config.jax) if on_devices else config.jax
    supply.require_supply(config)
    require_backend(cast("CheckpointComponent", config.checkpoint.backend))
    require_own_places(cast("Mapping[str, SinkComponent]", config.logging.sinks))
    for name, stage_config in config.stages.items():
        if isinstance(stage_config, SupportsCheck):
            with _placed(config, name):
                stage_config.check(CheckContext(jax=devices, coming=supply.coming(config, name)))


_ENDED = (Interrupted, LimitExceeded, DiskError)
"""What a run ends with that is saved already, or that nothing can be saved after."""


@contextmanager
def _saved(run: StageRun) -> Generator[None]:
    """End with the last save, whatever happens: the run's lock is not given back under its thread.

    An error in the middle of a step first saves what the step has left as it was, and says how to go on.
    """
    try:
        yield
    except BaseException as error:
        try:
            if isinstance(error, Exception) and not isinstance(error, _ENDED):
                _rescue(run, error)
            run.manager.wait()
        except Exception as of_save:  # noqa: BLE001 - the first error is the one to be told
            error.add_note(f"the last checkpoint was not saved either: {of_save}")
        raise
    run.manager.wait()


def _rescue(run: StageRun, error: Exception) -> None:
    """Save what there is, and say how to go on; an error of the config would only come again."""
    how = "" if isinstance(error, ConfigError) else f"; go on with: {run.resume_command}"
    step = run.rescue()
    if step is not None:
        error.add_note(f"saved at step {step} of '{run.name}'{how}")
    elif run.index > 1:
        error.add_note(f"the stages before '{run.name}' are kept{how}")


@contextmanager
def _placed(config: Config, name: str) -> Generator[None]:
    """Put the stage in front of what its errors say, but for those about what it shares with others."""
    at_top = {*_shared_fields(config.stages[name]), *options_of(Sections), "stages"}
    with placed(f"stages.{name}", at_top=at_top), naming_sizes(config, name):
        yield


def _shared_fields(stage_config: object) -> list[str]:
    """Return the fields of a stage that hold components of the top level."""
    options = options_of(type(stage_config)).values()
    return [option.name for option in options if option.slot is not None and option.slot.kind == "shared"]


def _run_recorded(chain: "_Chain") -> None:
    """Run the chain and record its end, whatever it is."""
    root = chain.root
    logger = StatsLogger({})
    try:
        root.begin()
        if root.is_primary:
            logger = chain.open_logger()
            logger.tell(report.beginning(root.path, chain.config, chain.start))
        with _nobody_exits():
            chain.run(logger)
    except BaseException as error:
        end = _end_of(error, root)
        try:
            _record_end(root, logger, end)
        except DiskError as of_record:  # the first error is the one to be told
            error.add_note(f"how the run ended is not recorded: {of_record}")
        if end.phase == "refused":
            root.take_back()
        raise
    early_ends = "; ".join(f"'{name}' {reason}" for name, reason in _early_ends(root, chain.config).items())
    _record_end(root, logger, RunEnd("complete", early_ends or None))
    if root.is_primary:
        _print_summary(root, chain.config)


def _print_summary(root: RunDirectory, config: Config) -> None:
    names, sinks = list(config.stages), cast("Mapping[str, SinkComponent]", config.logging.sinks)
    last = root.finished_stage(len(names), names[-1])
    artifacts = Artifacts() if last is None else last.artifacts
    report.print_summary(root.path, names, _summary(root, config), artifacts, sinks.values())


@contextmanager
def _nobody_exits() -> Generator[None]:
    """Turn a `sys.exit` of a component into a bug of its own: status 0 would say that the run is done."""
    try:
        yield
    except SystemExit as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{at.filename}:{at.lineno} in {at.name}"
        raise RuntimeError(f"sys.exit({error.code!r}) was called inside the run, at {where}") from error


def _record_end(root: RunDirectory, logger: StatsLogger, end: RunEnd) -> None:
    """Write the run's end into `status.json` and tell the sinks."""
    try:
        root.end(end.phase, end.reason)
    finally:
        logger.close(end)


def _end_of(error: BaseException, root: RunDirectory) -> RunEnd:
    """Return the end that an exception is; what the user can mend refuses a run until its first row."""
    match error:
        case Interrupted():
            return RunEnd("interrupted", str(error))
        case LimitExceeded() | DiskError():
            return RunEnd("stopped", str(error))
        case _:
            phase = "refused" if isinstance(error, BurnishError) and not root.is_begun else "failed"
            return RunEnd(phase, " ".join(f"{type(error).__name__}: {error}".split()))


def _early_ends(root: RunDirectory, config: Config) -> dict[str, str]:
    """Return where and why stages ended before their last step, by name."""
    finished = {name: root.finished_stage(index, name) for index, name in enumerate(config.stages, 1)}
    return {name: stage.ended_early for name, stage in finished.items() if stage and stage.ended_early}


def _summary(root: RunDirectory, config: Config) -> Summary:
    """Return the summary of what the run has written so far."""
    return summarize(read_rows(root.metrics), _early_ends(root, config))


@dataclass(frozen=True)
class _Chain:
    """The stages of one run, from where it starts."""

    config: Config
    root: RunDirectory
    start: StartingPoint
    overrides: tuple[str, ...] = ()
    interrupts: Interrupts = field(default_factory=Interrupts)

    def open_logger(self) -> StatsLogger:
        """Open the sinks of this run."""
        config, start, names = self.config, self.start, tuple(self.config.stages)
        sinks = cast("Mapping[str, SinkComponent]", config.logging.sinks)
        context = SinkContext(
            directory=self.root.path,
            run_name=self.root.path.name,
            config=config.resolved,
            logging=config.logging,
            stages=names,
            resumed_from=None if start == FRESH else (names[start.stage_index - 1], start.step),
        )
        return open_logger(sinks, context)

    def run(self, logger: StatsLogger) -> None:
        """Run the stages that are not finished, each with what the one before it left.

        Of a finished one few checkpoints are kept, and of one that finished in a process that died then, too.
        """
        before = FinishedStage(Artifacts(), 0)
        for index, name in enumerate(self.config.stages, 1):
            self._require_uninterrupted(name)
            before = self.root.finished_stage(index, name) or self._run_stage(index, name, before, logger)
            if self.root.is_primary:
                checkpoints_of(self.root.stage(index, name), self.config.checkpoint).keep_of_finished()
            self.root.write_json("summary.json", _summary(self.root, self.config))

    def _require_uninterrupted(self, name: str) -> None:
        """Raise Interrupted where a signal has come and no step was there to notice it."""
        pending = self.interrupts.pending
        if pending is not None:
            command = resume_command(self.root, self.overrides)
            raise Interrupted(f"stopped by a signal before '{name}'; go on with: {command}", pending)

    def _run_stage(self, index: int, name: str, before: FinishedStage, logger: StatsLogger) -> FinishedStage:
        if index > 1:
            self.root.require_handed_on(index - 1, list(self.config.stages)[index - 2])
        run = self.stage_run(index, logger, before.next_global_step)
        with busy(name), _saved(run), _placed(self.config, name):
            artifacts = self.build(index, run).run(before.artifacts)
        supply.require_provided(name, self.config.stages[name], artifacts)
        finished = FinishedStage(artifacts, run.next_global_step, run.ended_early)
        self.root.finish_stage(index, name, finished)
        return finished

    def build(self, index: int, run: StageRun) -> Any:
        """Return stage number `index`, built over the components of its shared fields."""
        stage_config = list(self.config.stages.values())[index - 1]
        shared = {name: getattr(stage_config, name) for name in _shared_fields(stage_config)}
        return built("stage", stage_config, Stage, run, **shared)

    def stage_run(self, index: int, logger: StatsLogger, first_global_step: int = 0) -> StageRun:
        """Return the handle that stage number `index` works with."""
        name = list(self.config.stages)[index - 1]
        return StageRun(
            root=self.root,
            index=index,
            name=name,
            seed=self.config.run.seed,
            jax=arranged(self.config.jax),
            logger=logger,
            manager=checkpoints_of(self.root.stage(index, name), self.config.checkpoint),
            interrupts=self.interrupts,
            resume_from=self.start.checkpoint if index == self.start.stage_index else None,
            resume_command=resume_command(self.root, self.overrides),
            first_global_step=first_global_step,
            is_last=index == len(self.config.stages),
        )
