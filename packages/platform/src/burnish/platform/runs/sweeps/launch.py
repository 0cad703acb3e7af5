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
from burnish.platform.errors import RunError
from burnish.platform.lasting_console import LastingConsole
from burnish.platform.runs.interrupts import Interrupts
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.opening import locate
from burnish.platform.runs.sweeps.ending import raise_unfinished
from burnish.platform.runs.sweeps.job import Stopped
from burnish.platform.runs.sweeps.plan import Plan, direct, planned
from burnish.platform.runs.sweeps.records import JobRecord, forget_records, read_records, without_empty
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
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        raise RunError(
            f"hydra.sweep.dir: another sweep is at work in '{directory}'; wait for it, or set another "
            "run.name or hydra.sweep.dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _run(plan: Plan, first: Config) -> None:
    is_max = direct(plan.settings, first.run)
    forget_records(plan.job.directory)
    ended: BaseException | None = None
    try:
        with Interrupts(plan.resume_command) if plan.job.is_local else _workers_first():
            _sweep_by_hydra(plan)
    except (Exception, Stopped, KeyboardInterrupt) as error:  # noqa: BLE001 - raised again below the table
        ended = error.__cause__ if isinstance(error, Stopped) else error
    try:
        records = _told(plan, first.run.sweep_metric, is_max=is_max)
    except Exception as error:  # the first error is the one to be told
        if ended is None:
            raise
        ended.add_note(f"there is no table of the jobs: {error}")
        records = []
    raise_unfinished(plan, records, ended)


def _told(plan: Plan, metric: str | None, *, is_max: bool) -> list[JobRecord]:
    """Print what the jobs have come to and return it."""
    directory, job = plan.job.directory, plan.job
    records = [without_empty(record, directory) for record in read_records(directory)]
    begun = {record.job for record in records}
    coming = [
        JobRecord(job=number, words=[job.typed(word) for word in words], output_dir="", phase="not reached")
        for number, words in enumerate(plan.jobs)
        if plan.knows_jobs and number not in begun
    ]
    swept = {typed.removesuffix("=") for typed in job.typed_keys}
    print_table([*records, *coming], directory, metric=metric, swept=swept, is_max=is_max)
    return records


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
