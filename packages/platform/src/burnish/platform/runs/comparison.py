"""What a resumed run may change: its config, libraries and machine held against those it began with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from burnish.platform.configuration.component import fact
from burnish.platform.configuration.config import Config
from burnish.platform.configuration.parts import parts
from burnish.platform.runs.provenance import cpu_threads, mesh_sizes, versions
from burnish.platform.runs.records import damaged, read_record
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.statistics.rows import read_rows

_UNREADABLE = "is damaged: it is not the YAML that was written"
_WITHOUT_CONFIG = "put it back from a copy, or set another run.name: nothing else says what the run computed"


_OF_THE_MACHINE = ("jax.compilation_cache", "jax.keep_host_memory")
"""Keys that no number depends on."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs, a phrase each."""

    refused: list[str]
    """What would make another run of it."""

    warned: list[str]
    """What rounds sums otherwise."""

    noted: list[str]
    """What changes the steps to come."""

    is_extended: bool
    """Whether the last stage, which had ended, gets more steps."""

    config: Mapping[str, Any]
    """The config that holds from here on: what was asked for, by the name and the seed of the run."""


def compare(config: Config, root: RunDirectory, begun: set[str]) -> Comparison:
    """Hold the config against the one the run began with; `begun` are the stages that keep something.

    Free to change: `checkpoint`, `logging`, `run` except its seed, compilation cache and host memory, every
    option of a stage that has not begun, the `steps` of one that has not ended, more `steps` of the last one,
    and where data lies: a checkpoint knows what was in it. `jax.mesh`, the thread count and the versions of
    libraries may change with a warning.
    """
    recorded = _saved_config(root)
    saved, asked = flatten(recorded), flatten(config.resolved)
    changed = [key for key in sorted(saved.keys() | asked.keys()) if saved.get(key) != asked.get(key)]
    rules = _Rules(config, root, begun)
    found = Comparison(
        refused=[],
        warned=[],
        noted=[],
        is_extended=any(rules.extends(key, saved.get(key), asked.get(key)) for key in changed),
        config={**config.resolved, "run": recorded["run"], "checkpoint": _checkpoint(config, recorded)},
    )
    for key in changed:
        phrase = f"{key}: {saved.get(key, 'absent')} -> {asked.get(key, 'absent')}"
        if rules.changes_steps(key) and (found.is_extended or not rules.has_ended(key)):
            found.noted.append(f"{phrase}: schedules are those of {asked.get(key)} steps from here on")
        elif not rules.is_free(key):
            found.refused.append(phrase)
    found.warned.extend(_differences_of_the_machine(config, root))
    return found


def begun_stages(config: Config, root: RunDirectory, kept: int | None) -> set[str]:
    """Return the stages that have a row or are finished, of the first `kept` where that is not None."""
    names = list(config.stages)[:kept]
    has_rows = (
        {str(row["stage"]) for row in read_rows(root.metrics)} if root.metrics.is_file() else set[str]()
    )
    finished = {name for i, name in enumerate(names, 1) if root.finished_stage(i, name) is not None}
    return finished | (has_rows & set(names))


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as dotted keys; an empty mapping has none."""
    if not isinstance(tree, Mapping):
        return {prefix.rstrip("."): tree}
    flat: dict[str, Any] = {}
    for key, value in cast("Mapping[str, Any]", tree).items():
        flat |= flatten(value, f"{prefix}{key}.")
    return flat


@dataclass(frozen=True)
class _Rules:
    config: Config
    root: RunDirectory
    begun: set[str]

    def is_free(self, key: str) -> bool:
        """Whether a key may change without a word."""
        section, *rest = key.split(".")
        if section in ("checkpoint", "logging") or key in _OF_THE_MACHINE or key.startswith("jax.mesh."):
            return True
        if section == "run":
            return key != "run.seed"
        if section == "stages" and rest[0] in self.config.stages and rest[0] not in self.begun:
            return rest[1:] != ["use"]
        return key in set(_places_of_data(self.config))

    def changes_steps(self, key: str) -> bool:
        """Whether a key is the number of steps of a stage that has begun."""
        section, *rest = key.split(".")
        return section == "stages" and rest[1:] == ["steps"] and rest[0] in self.begun

    def has_ended(self, key: str) -> bool:
        """Whether the stage of a key is finished."""
        name = key.split(".")[1]
        index = list(self.config.stages).index(name) + 1 if name in self.config.stages else 0
        return self.root.finished_stage(index, name) is not None

    def extends(self, key: str, before: Any, now: Any) -> bool:
        """Whether a key gives the last stage, which is finished, more steps."""
        is_last = key == f"stages.{list(self.config.stages)[-1]}.steps"
        return is_last and self.has_ended(key) and isinstance(before, int) and now > before


def _places_of_data(config: Config) -> Iterator[str]:
    """Yield the keys that say where data lies, by the `places` that its component declares."""
    roots = {**config.shared, **{f"stages.{name}": stage for name, stage in config.stages.items()}}
    for path, component in roots.items():
        for part in parts(component, path, path):
            for option in fact(part.component, "places", frozenset[str]()):
                yield f"{part.path}.{option}"


def _checkpoint(config: Config, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section as asked for, but for where this start goes on from, which is of no other one."""
    return {**config.resolved["checkpoint"], "resume_from": recorded["checkpoint"]["resume_from"]}


def _saved_config(root: RunDirectory) -> dict[str, Any]:
    """Return the config that the run began with, as plain values."""
    try:
        saved: object = OmegaConf.to_container(OmegaConf.load(root.config))
        if saved and isinstance(saved, dict):
            return cast("dict[str, Any]", saved)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise damaged(root.config, _UNREADABLE, _WITHOUT_CONFIG) from error
    raise damaged(root.config, _UNREADABLE, _WITHOUT_CONFIG)


def _differences_of_the_machine(config: Config, root: RunDirectory) -> list[str]:
    """Compare what bits may depend on: libraries and threads of the beginning, the last start's devices."""
    file = root.path / "run.json"
    if not file.is_file():
        return [f"'{file}' is not there, so the versions that the run began with are not compared"]
    fields = {"versions": dict, "cpu_threads": int}
    recorded = read_record(file, fields, "delete it: the versions that it holds are then not compared")
    starts: Any = recorded.get("starts") or [{}]
    before = {
        **recorded["versions"],
        "CPU threads": recorded["cpu_threads"],
        **_mesh_options(starts[-1].get("mesh", {})),
    }
    now = {**versions(), "CPU threads": cpu_threads(), **_mesh_options(mesh_sizes(config))}
    return [f"{name}: {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]


def _mesh_options(sizes: Mapping[str, int]) -> dict[str, int]:
    return {f"jax.mesh.{axis}": size for axis, size in sizes.items()}
