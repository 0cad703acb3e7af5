"""From a config on to the pipeline: once, or job by job of a sweep.

`run` is for Python and `launch` for the command line. What is more than a run goes through `hydra.main`, so
help, `--info` and tab completion are Hydra's own; a run does not, as that composes its config twice.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from burnish.platform.configuration.arguments import Arguments
from burnish.platform.configuration.composition import (
    HYDRA_VERSION,
    checked,
    compose_config,
    compose_raw,
    prepare,
)
from burnish.platform.configuration.config import Config
from burnish.platform.configuration.config_source import register
from burnish.platform.configuration.presets import PRIMARY
from burnish.platform.configuration.registry import available
from burnish.platform.errors import ComponentError

if TYPE_CHECKING:
    from burnish.platform.runs.pipeline import RunResult


class _Carried(BaseException):
    """An exception on its way through Hydra, which would print a line of its own for it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def run(overrides: Sequence[str] = (), *, dry_run: bool = False) -> "RunResult | None":
    """Run what `train` would run with these arguments and return its result; None where it is a dry run.

    The first argument may be a YAML file. What is printed is what `train` prints.

    Raises:
        BurnishError: the user can act on it.
    """
    return _execute(compose_config(overrides), list(overrides), dry_run)


def launch(arguments: Arguments) -> None:
    """Do what the command line says: run, sweep, print help.

    Raises:
        BurnishError, HydraException, OmegaConfBaseException: the user can act on it.
        SystemExit: Hydra has answered, as for `--help`.
    """
    if arguments.is_sweep and not arguments.asks:
        _sweep(arguments)
        return
    if not {*arguments.flags} - {"--run", "-r"}:
        composed = compose_raw(arguments.overrides)
        if composed.hydra.mode is RunMode.MULTIRUN:
            _sweep(arguments)
            return
        if not _asks_hydra(composed.hydra):
            _execute(checked(composed), list(arguments.overrides), arguments.is_dry_run)
            return
    _launch_by_hydra(arguments)


def _sweep(arguments: Arguments) -> None:
    from burnish.platform.runs.sweeps.launch import sweep

    sweep(arguments)


def _asks_hydra(node: DictConfig) -> bool:
    """Say whether a run sets an option of Hydra's that `hydra.main` heeds and composing a config does not."""
    job, log = node.job, node.job_logging
    own = (node.mode, node.callbacks, node.output_subdir, node.verbose, node.run.dir != ".")
    return any((*own, job.chdir, job.env_set, job.env_copy, log is None or log.root is not None))


def _launch_by_hydra(arguments: Arguments) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"
    words, _ = prepare(arguments.overrides)
    typed = sys.argv
    register()

    def task(composed: DictConfig) -> None:
        node = HydraConfig.get()
        sys.argv = typed
        try:
            with open_dict(composed):
                composed.hydra = node
            _execute(checked(composed), list(arguments.overrides), arguments.is_dry_run)
        except Exception as error:
            raise _Carried(error) from error

    try:
        _call_hydra(arguments.flags, words, task)
    except ComponentError:
        # Where a stage of the default chain is not installed, help is all the more needed.
        stages = available("stage")
        if not stages or not arguments.is_help or any(word.startswith("stage=") for word in words):
            raise
        _call_hydra(arguments.flags, [*words, f"stage={'+'.join(stages)}"], task)
    except _Carried as carried:
        raise carried.error from carried.error.__cause__


def _call_hydra(flags: Sequence[str], words: list[str], task: Callable[[DictConfig], None]) -> None:
    """Hand the words to `hydra.main`, which reads them from `sys.argv`."""
    command = hydra.main(version_base=HYDRA_VERSION, config_path=f"pkg://{PRIMARY}", config_name="train")(
        task
    )
    typed = sys.argv
    sys.argv = [typed[0], *flags, "--", *words]
    try:
        command()
    finally:
        sys.argv = typed


def _execute(config: Config, overrides: list[str], dry_run: bool) -> "RunResult | None":
    from burnish.platform.runs import pipeline, report

    if dry_run:
        report.print_plan(pipeline.plan(config))
        return None
    return pipeline.execute(config, overrides=overrides)
