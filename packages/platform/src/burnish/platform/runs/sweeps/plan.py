"""What a sweep is going to do: Hydra's settings for it, its place, and its jobs, each of them checked."""

import os
import shlex
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from hydra.utils import get_class
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from burnish.platform.configuration.arguments import Arguments
from burnish.platform.configuration.composition import HYDRA_VERSION, explained, prepare
from burnish.platform.configuration.config import Config, RunConfig
from burnish.platform.configuration.config_source import register
from burnish.platform.configuration.presets import PRIMARY
from burnish.platform.errors import BurnishError, ConfigError
from burnish.platform.runs.opening import refuse_start
from burnish.platform.runs.sweeps.job import Job
from burnish.platform.runs.sweeps.metric_name import require_possible
from burnish.platform.runs.sweeps.place import placed_sweep
from burnish.platform.runs.sweeps.records import refuse_foreign
from burnish.platform.runs.sweeps.words import (
    every_job,
    first_values,
    parse_words,
    refuse_shuffle,
    swept_keys,
    trials,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep that may begin."""

    settings: DictConfig
    """Hydra's composition for the sweep itself."""

    loader: ConfigLoader
    words: Sequence[str]
    """What the sweeper makes jobs of."""

    command: Sequence[str]
    """What the user has typed after `train`."""

    job: Job
    jobs: Sequence[Sequence[str]]
    """The words of each job; those that stand for them where the sweeper makes jobs as it goes."""

    @property
    def knows_jobs(self) -> bool:
        """Whether `jobs` are those that will be run."""
        return not self.job.tells_failures

    @property
    def resume_command(self) -> str | None:
        """The command that does what is left of the jobs; None where it would make other jobs."""
        if not self.knows_jobs:
            return None
        ours = ("checkpoint.resume_from=", *(["run.name="] if self.job.is_numbered else []))
        kept = [word for word in self.command if not word.startswith(ours)]
        name = [f"run.name={self.job.sweep}"] if self.job.is_numbered else []
        return shlex.join(["train", *kept, *name, "checkpoint.resume_from=latest"])

    def check(self) -> list[Config]:
        """Return the configs of all jobs; ConfigError, with the job and its words, for the first bad one.

        Raises:
            RunError: what the sweep would remove is somebody else's.
        """
        refuse_foreign(self.job.directory)
        configs: list[Config] = []
        writers: dict[Path, int] = {}
        for number, words in enumerate(self.jobs):
            composed = self._composed(number, words)
            with self._telling_job(number, self.job.words(composed)):
                config = self.job.config(composed)
                self._require_metric(config.run)
                require_possible(config)
                self._check_run(config, composed, number, writers)
            configs.append(config)
        return configs

    def _composed(self, number: int, words: Sequence[str]) -> DictConfig:
        """Compose a job as a launcher does."""
        with self._telling_job(number, [self.job.typed(word) for word in words]):
            composed = self.loader.load_sweep_config(self.settings, list(words))
            with open_dict(composed):
                composed.hydra.job.id = str(number)
                composed.hydra.job.num = number
            HydraConfig.instance().set_config(composed)
            OmegaConf.set_readonly(composed.hydra, value=False)
            sweep = composed.hydra.sweep
            composed.hydra.runtime.output_dir = os.path.abspath(f"{sweep.dir}/{sweep.subdir}")
        return composed

    @contextmanager
    def _telling_job(self, number: int, words: Sequence[str]) -> Generator[None]:
        """Say which job it is that an error is about, and which of its words are its own."""
        told = self.job.told(words)
        try:
            with explained(words):
                yield
        except BurnishError as error:
            if not told:
                raise
            of_job = ConfigError(f"job {number} ({told}): {error}")
            for note in getattr(error, "__notes__", ()):
                of_job.add_note(note)
            raise of_job from error

    def _check_run(self, config: Config, composed: DictConfig, number: int, writers: dict[Path, int]) -> None:
        from burnish.platform.runs import pipeline

        pipeline.check(config, on_devices=self.job.is_local)
        if not self.knows_jobs and (number or config.checkpoint.resume_from is not None):
            return
        run = self.job.run_of(config, composed)
        other = writers.setdefault(run, number)
        if other != number:
            raise ConfigError(
                f"run.name: job {other} writes '{run}' too; leave run.name to one word, which the sweep "
                "numbers, or put all that differs into it"
            )
        refuse_start(config, run)

    def _require_metric(self, run: RunConfig) -> None:
        sweeper = self.settings.hydra.runtime.choices.get("hydra/sweeper")
        if not self.knows_jobs and run.sweep_metric is None:
            raise ConfigError(
                f"hydra/sweeper={sweeper} decides by what each job is worth; set run.sweep_metric to the "
                "name of a metric, such as eval/accuracy"
            )
        direction = OmegaConf.select(self.settings, "hydra.sweeper.direction")
        if isinstance(direction, ListConfig) and len(direction) > 1:
            raise ConfigError(
                f"hydra.sweeper.direction: there is one value per job, run.sweep_metric={run.sweep_metric}, "
                f"and here are {len(direction)} directions; leave one"
            )


@contextmanager
def planned(arguments: Arguments) -> Generator[Plan]:
    """Give the plan of a sweep while Hydra is set up for it; nothing in it is checked yet.

    Raises:
        BurnishError, HydraException, OmegaConfBaseException: the user can act on it.
    """
    words, typed = prepare([*arguments.overrides, *_search_path(arguments)])
    refuse_shuffle(typed)
    register()
    with hydra.initialize_config_module(PRIMARY, job_name="train", version_base=HYDRA_VERSION):
        loader = GlobalHydra.instance().config_loader()
        overrides = parse_words([*words, "hydra.mode=MULTIRUN"], loader)
        settings = loader.load_configuration("train", first_values(overrides), RunMode.MULTIRUN)
        # Of words with one key the last holds, as in a run; some sweepers take the first.
        last = {override.get_key_element(): override for override in overrides}
        own = [override for override in last.values() if not override.is_hydra_override()]
        with open_dict(settings):
            settings.hydra.overrides.task = [override.input_line for override in own]
        jobs_of = [*_params(settings, loader), *own]
        swept = swept_keys(jobs_of)
        with placed_sweep(settings, swept, is_dry_run=arguments.is_dry_run) as place:
            knows_jobs = _is(settings.hydra.sweeper, BasicSweeper)
            job = Job(
                sweep=place.name,
                directory=place.directory,
                swept=swept,
                spelling=_spelling(words, typed),
                is_numbered=place.is_numbered,
                is_local=_is(settings.hydra.launcher, BasicLauncher),
                tells_failures=not knows_jobs,
            )
            yield Plan(
                settings=settings,
                loader=loader,
                words=[str(override.input_line) for override in own],
                command=["-m", *_kept(arguments.flags), *arguments.overrides],
                job=job,
                jobs=every_job(jobs_of) if knows_jobs else trials(jobs_of),
            )


def direct(settings: DictConfig, run: RunConfig) -> bool:
    """Return whether higher values are better, and tell a sweeper that has a default of its own.

    What the user has set is a text; a default of the sweeper's is a member of its enumeration.
    """
    own = OmegaConf.select(settings, "hydra.sweeper.direction")
    if own is None:
        return run.sweep_direction == "maximize"
    if isinstance(own, Enum):
        with open_dict(settings):
            settings.hydra.sweeper.direction = own = run.sweep_direction
    return str(own[0] if isinstance(own, ListConfig) else own) == "maximize"


def _kept(flags: Sequence[str]) -> list[str]:
    """Return the flags but for those that say what is to be done, of which a command has one."""
    return [flag for flag in flags if flag not in ("-m", "--multirun", "-r", "--run")]


def _search_path(arguments: Arguments) -> list[str]:
    """Return `--config-dir` as a word, which Hydra hands to jobs in other processes too."""
    flags = arguments.flags
    if "--config-dir" not in flags:
        return []
    directory = os.path.abspath(flags[flags.index("--config-dir") + 1])
    if any(word.startswith("hydra.searchpath=") for word in arguments.overrides):
        raise ConfigError("--config-dir: hydra.searchpath is set too; give one of them")
    if not os.path.isdir(directory):
        raise ConfigError(f"--config-dir: there is no directory '{directory}'; name one that exists")
    return [f"hydra.searchpath=['file://{directory}']"]


def _params(settings: DictConfig, loader: ConfigLoader) -> list[Override]:
    """Return the words that the sweeper has of a file, under `hydra.sweeper.params`."""
    params: Any = OmegaConf.select(settings, "hydra.sweeper.params")
    words = [f"{key}={params[key]}" for key in params or ()]
    refuse_shuffle(words)
    return parse_words(words, loader)


def _is(component: DictConfig, kind: type[Any]) -> bool:
    """Say whether a plugin is Hydra's own, or made of it; Hydra loads its modules anew, so by name."""
    names = {f"{known.__module__}.{known.__name__}" for known in get_class(str(component._target_)).mro()}
    return f"{kind.__module__}.{kind.__name__}" in names


def _spelling(words: Sequence[str], typed: Sequence[str]) -> Mapping[str, str]:
    """Return what was typed for each key, with a `=` where a value follows it."""
    pairs = zip(words, typed, strict=True)
    return {word.partition("=")[0]: "".join(as_typed.partition("=")[:2]) for word, as_typed in pairs}
