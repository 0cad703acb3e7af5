"""What a sweep is called and where its records lie."""

import os
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict

from burnish.platform import atomic
from burnish.platform.runs.sweeps.job import raw_name
from burnish.platform.signals import removed_at_end

DEFAULT = "${run.output_dir}/sweeps"
"""`hydra.sweep.dir` where nobody sets it: a directory of the sweep's own is made in it."""


@dataclass(frozen=True)
class Place:
    """The name of a sweep and its directory, which stays when something is in it."""

    name: str
    directory: Path
    is_numbered: bool
    """Whether the runs are called after the sweep; else the config names each."""


@contextmanager
def placed_sweep(settings: DictConfig, swept: Collection[str], *, is_dry_run: bool) -> Generator[Place]:
    """Give the place of a sweep and tell Hydra of it; a directory that nobody else takes, but in a dry run.

    A `run.name` that is the same for all jobs names the sweep, else its chain and the UTC time do.
    """
    _resolve_hydra(settings)
    is_numbered = not _differs(settings, swept)
    given = raw_name(settings) if is_numbered else None
    name = given or _new_name(settings, swept)
    sweeps = Path(str(settings.hydra.sweep.dir)).absolute()
    if cast("dict[str, Any]", OmegaConf.to_container(settings.hydra.sweep))["dir"] != DEFAULT:
        yield Place(name, sweeps, is_numbered)
        return
    name, made = (name, []) if given else _free(sweeps, name, is_dry_run=is_dry_run)
    _tell(settings, sweeps / name)
    try:
        with removed_at_end(made):
            yield Place(name, sweeps / name, is_numbered)
    finally:
        if made and not any(made[-1].iterdir()):
            atomic.take_back(made)


def _resolve_hydra(settings: DictConfig) -> None:
    """Let a `${hydra:...}` in what names the sweep be read."""
    with open_dict(settings):
        settings.hydra.runtime.output_dir = os.getcwd()
    HydraConfig.instance().set_config(settings)
    OmegaConf.set_readonly(settings.hydra, value=False)


def _differs(settings: DictConfig, swept: Collection[str]) -> bool:
    """Say whether the config gives each job a name of its own."""
    return "${" in (raw_name(settings) or "") or "run.name" in {key.lstrip("+") for key in swept}


def _new_name(settings: DictConfig, swept: Collection[str]) -> str:
    chain = "sweep" if "stage" in swept else "+".join(str(block) for block in settings.stages)
    return f"{chain}-{datetime.now(UTC):%Y%m%dT%H%M%S}"


def _free(sweeps: Path, name: str, *, is_dry_run: bool) -> tuple[str, list[Path]]:
    """Return the name, numbered when taken, and the directories made for it: the last one by nobody else."""
    number, free = 1, name
    while True:
        made = [] if is_dry_run else atomic.make_directory(sweeps / free)
        if sweeps / free in made or (is_dry_run and not (sweeps / free).exists()):
            return free, made
        number += 1
        free = f"{name}-{number}"


def _tell(settings: DictConfig, directory: Path) -> None:
    """Set `hydra.sweep.dir`, for the sweeper and for each job."""
    quoted = QuotedString(text=str(directory), quote=Quote.single).with_quotes()
    with open_dict(settings):
        settings.hydra.sweep.dir = str(directory)
        settings.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted}")
