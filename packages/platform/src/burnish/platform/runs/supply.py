"""What the stages of a chain provide, held against what their components need, before anything is written."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.component import fact
from burnish.platform.configuration.config import Config
from burnish.platform.configuration.declaration import declaration_of
from burnish.platform.configuration.parts import Part, needs_of, parts
from burnish.platform.configuration.registry import Provider, available, described, name_of, resolve
from burnish.platform.errors import ComponentError, ConfigError
from burnish.platform.runs.stage import Stage


def provides(stage: object) -> frozenset[str]:
    """Return the artifacts that a stage's options declare by `provides`."""
    return frozenset(fact(stage, "provides", frozenset[str]()))


def coming(config: Config, block: str) -> frozenset[str]:
    """Return the artifacts that the blocks before this one will provide."""
    names = list(config.stages)
    before = names[: names.index(block)]
    return frozenset[str]().union(*(provides(config.stages[name]) for name in before))


def awaited(config: Config, block: str) -> list[str]:
    """Return the artifacts that a block cannot do without and that are made only as the chain runs."""
    return sorted(needs_of(config.stages[block]) & coming(config, block))


def require_supply(config: Config) -> None:
    """Raise ConfigError for the first component that needs what no block before its own will provide."""
    for section in ("checkpoint", "logging"):
        for part in parts(getattr(config, section), section, section):
            for artifact in sorted(part.needs):
                raise ConfigError(
                    f"{part.path}: the {part.slot} '{name_of(part.slot, part.component)}' needs the artifact "
                    f"'{artifact}', and what serves the whole run begins before any stage; choose another"
                )
    for block, stage in config.stages.items():
        there = coming(config, block)
        for part in parts(stage, f"stages.{block}", "stage"):
            for artifact in sorted(part.needs - there):
                where, what = place(config, block, part), name_of(part.slot, part.component)
                raise ConfigError(
                    f"{where}: the {part.slot} '{what}' needs the artifact '{artifact}', which no stage "
                    f"before stages.{block} provides; {_remedy(config, block, artifact)}"
                )


def require_provided(block: str, stage: object, artifacts: object) -> None:
    """Raise ComponentError for a stage that ended without artifacts, or without those that it declares."""
    if not isinstance(artifacts, Artifacts):
        raise ComponentError(
            f"stages.{block}: {described('stage', stage)} returns {artifacts!r} from `run`; return the "
            f"artifacts it received, with its own: {declaration_of(Stage, 'run')}"
        )
    missing = sorted(provides(stage) - artifacts.directories.keys())
    if missing:
        raise ComponentError(
            f"stages.{block}: the stage '{name_of('stage', stage)}' declares that it provides "
            f"{', '.join(missing)} and did not; mend its `provides` or its `run`"
        )


def place(config: Config, block: str, part: Part) -> str:
    """Return where the user chooses the part: at the top for a shared one, and for what lies in it."""
    within = part.path.removeprefix(f"stages.{block}.")
    field = within.partition(".")[0]
    held = getattr(config.stages[block], field, None)
    return within if held is not None and config.shared.get(field) is held else part.path


def _remedy(config: Config, block: str, artifact: str) -> str:
    able = list(_installed_providers(artifact))
    if not able:
        return "no installed stage does: install a package with one that does, or choose another component"
    blocks = list(config.stages)
    chain = [name_of("stage", stage) for stage in config.stages.values()]
    at = blocks.index(block)
    first, later = able[0].name, chain[at:]
    if first in later:
        later.remove(first)
    told = ", ".join(f"{found.name} ({found.origin})" for found in able)
    mended = "+".join([*chain[:at], first, *later])
    return f"installed stages that do: {told}; put it in front, as in stage={mended}"


def _installed_providers(artifact: str) -> Iterator[Provider]:
    for name, found in available("stage").items():
        declared: Any = ()
        with suppress(ComponentError):  # one that fails to import provides nothing
            declared = getattr(resolve("stage", name), "provides", ())
        # What follows from a stage's options is known of a stage and not of its class.
        if isinstance(declared, Collection) and artifact in declared:
            yield found
