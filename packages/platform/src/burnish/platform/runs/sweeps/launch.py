"""A sweep from its words to its table: checked job by job, then run by Hydra's sweeper and launcher."""

import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import hydra.types
from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log

from burnish.platform import atomic
from burnish.platform.configuration.arguments import Arguments
from burnish.platform.configuration.config import Config
from burnish.platform.errors import BurnishError, Interrupted, RunError, SweepError
from burnish.platform.lasting_console import LastingConsole
from burnish.platform.runs.interrupts import Interrupts
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.opening import locate
from burnish.platform.runs.sweeps.job import Stopped
from burnish.platform.runs.sweeps.plan import Plan, direct, planned
from burnish.platform.runs.sweeps.records import JobRecord, forget_records, read_records, remove_empty
from burnish.platform.runs.sweeps.table import print_table


def sweep(arguments: Arguments) -> None:
    """Check every job that is known, run them, and print the table of what they came to.

    Raises:
        BurnishError, HydraException, OmegaConfBaseException: the user can act on it: before the first job, or
            because jobs have failed.
    """
    with planned(arguments) as plan:
        configs = plan.check()
        if arguments.is_dry_run:
            _print_plans(plan, configs)
        else:
            with _locked(plan.job.directory):
                _run(plan, configs[0])


def _print_plans(plan: Plan, configs: Sequence[Config]) -> None:
    from burnish.platform.runs import pipeline, report

    console = LastingConsole(soft_wrap=True)
    if not plan.knows_jobs:
        console.print("the sweeper makes its jobs as it goes; these stand for them")
    for number, (words, config) in enumerate(zip(plan.jobs, configs, strict=True)):
        told = plan.job.told([plan.job.typed(word) for word in words])
        where = f" -> {locate(config)}" if plan.knows_jobs else ""
        console.print(f"job {number}: {told}".rstrip(": ") + where, markup=False, highlight=False)
        report.print_plan(pipeline.plan(config))


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Hold the directory of the sweep, which one sweep at a time writes to."""
    atomic.make_directory(directory)
    lock = RunLock(directory)
    try:
        lock.acquire()
    except RunError as error:
        raise RunError(
            f"hydra.sweep.dir: another sweep is at work in '{directory}'; wait for it, or set another "
            "run.name or hydra.sweep.dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _run(plan: Plan, first: Config) -> None:
    directory = plan.job.directory
    is_max = direct(plan.settings, first.run)
    forget_records(directory)
    ended: BaseException | None = None
    try:
        with Interrupts() if plan.job.is_local else _workers_first():
            _sweep_by_hydra(plan)
    except (Exception, Stopped, KeyboardInterrupt) as error:  # noqa: BLE001 - raised again below the table
        ended = error
    records = read_records(directory)
    for record in records:
        remove_empty(Path(record.output_dir), directory)
    num_jobs = len(plan.jobs) if plan.knows_jobs else len(records)
    print_table(records, directory, num_jobs=num_jobs, metric=first.run.sweep_metric, is_max=is_max)
    _raise(plan, records, ended)


def _sweep_by_hydra(plan: Plan) -> None:
    """Do what `hydra.main` does with `-m`, with settings that are composed already."""
    settings = plan.settings
    configure_log(settings.hydra.hydra_logging, settings.hydra.verbose)
    callbacks = Callbacks(settings)
    callbacks.on_multirun_start(config=settings, config_name="train")
    context = hydra.types.HydraContext(config_loader=plan.loader, callbacks=callbacks)
    sweeper = Plugins.instance().instantiate_sweeper(
        config=settings, hydra_context=context, task_function=plan.job
    )
    if plan.knows_jobs:
        # It would compose every job once more: a tenth of a second each, for what is checked already.
        sweeper.validate_batch_is_legal = lambda batch: None  # noqa: ARG005 - the name is Hydra's
    sweeper.sweep(arguments=list(plan.words))
    callbacks.on_multirun_end(config=settings, config_name="train")


@contextmanager
def _workers_first() -> Generator[None]:
    """Leave the first Ctrl-C to the processes of the jobs, which a terminal sends it to as well.

    They save and end; a launcher that heard of it would kill them before. The second one it hears of, as an
    exception: so it takes its processes along.
    """
    previous = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is signal's
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _raise(plan: Plan, records: Sequence[JobRecord], ended: BaseException | None) -> None:
    """Raise what the sweep ends with, if it is not done."""
    stopped = [record for record in records if record.phase == "interrupted"]
    failed = [record for record in records if record.phase == "failed"]
    again = f"; go on with: {plan.resume_command}" if plan.resume_command else ""
    if isinstance(ended, KeyboardInterrupt):
        raise ended
    if stopped:
        signal_number = stopped[0].exit_status - 128
        raise Interrupted(f"stopped by a signal in job {stopped[0].job}{again}", signal_number) from ended
    if failed:
        numbers = ", ".join(str(record.job) for record in failed)
        status = min(record.exit_status for record in failed)
        told = f"{len(failed)} of {len(records)} jobs failed: {numbers}; the table says why"
        raise SweepError(f"{told}{again.replace('; go', '; once that is mended, go')}", status) from ended
    lost = ", ".join(str(record.job) for record in records if record.phase == "running")
    if lost and ended is not None and not isinstance(ended, BurnishError):
        told = " ".join(str(ended).split())
        raise SweepError(f"jobs that did not end: {lost}; {type(ended).__name__}: {told}", 1) from ended
    if ended is not None:
        raise ended
