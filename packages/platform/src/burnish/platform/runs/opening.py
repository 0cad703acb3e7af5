"""Open a run's directory: find it, refuse what would overwrite or mix runs, and say where the run starts."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from burnish.platform.configuration.config import Config
from burnish.platform.errors import ConfigError, RunError
from burnish.platform.lasting_console import LastingConsole
from burnish.platform.runs import resume
from burnish.platform.runs.comparison import Comparison, begun_stages, compare
from burnish.platform.runs.provenance import provenance, start_facts
from burnish.platform.runs.resume import StartingPoint
from burnish.platform.runs.rewind import finish_rewind, rewind
from burnish.platform.runs.run_directory import RunDirectory


def locate(config: Config) -> Path:
    """Return the directory of the run that the config names, or a new one of the chain and the UTC time.

    Raises:
        BurnishError: `checkpoint.resume_from` asks for a run or a checkpoint that is not there.
    """
    path, wanted = _named_or_new(config), config.checkpoint.resume_from
    if wanted not in (None, "latest") and not RunDirectory(path).is_begun:
        raise RunError(f"checkpoint.resume_from={wanted}: there is no run in '{path}'; leave it out")
    return path


def _named_or_new(config: Config) -> Path:
    output, wanted = Path(config.run.output_dir), config.checkpoint.resume_from
    if config.run.name is not None:
        resume.refuse_other_run(config, output / config.run.name)
        return output / config.run.name
    if wanted in ("latest", "best"):
        raise ConfigError(
            f"checkpoint.resume_from={wanted} does not say of which run: set run.name=<its name>"
        )
    if wanted is not None:
        return resume.run_of_checkpoint(Path(wanted))
    name = f"{'+'.join(config.stages)}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    path, number = output / name, 1
    while path.exists():
        number += 1
        path = output / f"{name}-{number}"
    return path


def start_or_resume(config: Config, root: RunDirectory, overrides: Sequence[str]) -> StartingPoint | None:
    """Return where the run starts, None when it is complete; nothing is changed before all is checked.

    Raises:
        RunError: the run exists and was not asked for.
        ConfigError: the run began with another config; the differences are listed.
        CheckpointError: the checkpoint to go on from is damaged.
    """
    wanted = config.checkpoint.resume_from
    root.require_config()
    if not root.is_begun:
        root.clear()
        root.write_json("run.json", {**provenance(config, overrides), "starts": [start_facts(config)]})
        root.write(root.config, OmegaConf.to_yaml(OmegaConf.create(dict(config.resolved))))
        return resume.FRESH
    if wanted is None:
        raise _taken(root)
    return _resume(config, root, overrides)


def refuse_start(config: Config, path: Path) -> None:
    """Raise what `start_or_resume` would, of what can be said before the run is locked; writes nothing."""
    root = RunDirectory(path)
    root.require_config()
    if root.is_begun and config.checkpoint.resume_from is None:
        raise _taken(root)
    if root.is_begun:
        _compared(config, root)


def _taken(root: RunDirectory) -> RunError:
    return RunError(
        f"run.name='{root.path.name}' exists in '{root.path.parent}'; go on with it by "
        "checkpoint.resume_from=latest, or set another run.name"
    )


def _is_over(config: Config, root: RunDirectory) -> bool:
    """Whether the run is complete, and the mark of each stage is there."""
    marks = (root.finished_stage(index, name) for index, name in enumerate(config.stages, 1))
    return root.is_complete and None not in marks


def _record(config: Config, root: RunDirectory, overrides: Sequence[str], holds: Mapping[str, Any]) -> None:
    """Add this start to the run's, with the config that holds from here on."""
    file = root.path / "run.json"
    begun = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else provenance(config, overrides)
    root.write_json("run.json", {**begun, "starts": [*begun.get("starts", []), start_facts(config)]})
    root.write(root.config, OmegaConf.to_yaml(OmegaConf.create(dict(holds))))


def _compared(config: Config, root: RunDirectory) -> Comparison:
    """Return how the config differs from the one that the run began with; ConfigError where it must not."""
    found = compare(config, root, begun_stages(config, root, resume.stages_kept(config)))
    if found.refused:
        raise ConfigError(
            f"run.name='{root.path.name}' began with another config: {'; '.join(found.refused)}; "
            "take these back, or set another run.name"
        )
    return found


def _resume(config: Config, root: RunDirectory, overrides: Sequence[str]) -> StartingPoint | None:
    found = _compared(config, root)
    console = LastingConsole(stderr=True, soft_wrap=True)
    if root.is_primary:
        finish_rewind(root, config)
    if config.checkpoint.resume_from == "latest" and _is_over(config, root) and not found.is_extended:
        console.print(f"{root.path} is complete: nothing to resume", markup=False, highlight=False)
        return None
    start = resume.find_starting_point(config, root)
    warnings = [f"{phrase}: the run goes on, but not bit for bit" for phrase in found.warned]
    for line in [*(f"warning: {warning}" for warning in (*warnings, *start.notes)), *found.noted]:
        console.print(line, markup=False, highlight=False)
    if root.is_primary:
        _record(config, root, overrides, found.config)
        rewind(root, config, start.stage_index, start.step, start.records)
    return start
