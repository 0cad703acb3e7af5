"""Installed components as Hydra config groups: a config source, its place on the search path, the chain.

The source answers for every slot (`engine/in_process`), for the blocks of a chain (`stages/rl`), for the
chain itself (`stage/sft+rl`), for the sections that every run has (`burnish/sections`) and for the user's
file (`file/user`). It says what the options are; `normalize` says whether their values are legal.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from burnish.platform.configuration.chain import chain_blocks, shared_slots, stage_type
from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.options import MISSING, options_of
from burnish.platform.configuration.presets import PRIMARY, preset_packages
from burnish.platform.configuration.registry import NAME, available, known_slots, resolve
from burnish.platform.configuration.user_file import load_user_file, user_file

_GROUPS = ("stage", "stages", "burnish", "file")
"""What a config is made of beside the components of slots: a chain, its blocks, sections, a user's file."""


def register() -> None:
    """Make installed components and presets known to Hydra; calling it again changes nothing.

    Raises:
        ComponentError: a package of presets fails to import, or two distributions claim one preset.
    """
    preset_packages()
    for plugin in (Components, SearchPath):
        Plugins.instance().register(plugin)


class Components(ConfigSource):
    """Hydra's view of what is installed."""

    @staticmethod
    def scheme() -> str:
        """Return the prefix of this source on the search path."""
        return "components"

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self._user_file = user_file.get()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the user's file in another process, in which a launcher composes a job."""
        for name, value in state.items():
            setattr(self, name, value)
        user_file.set(self._user_file)

    def available(self) -> bool:
        """Return True: there is nothing to be missing."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Say whether a group is a slot, or one of the groups that a chain is made of."""
        group = config_path.strip("/")
        return group == "" or group in _GROUPS or group in known_slots()

    def is_config(self, config_path: str) -> bool:
        """Say yes to any option of our groups: the answer to an unknown one is the error of loading it."""
        group, _, name = config_path.removesuffix(".yaml").strip("/").rpartition("/")
        return bool(group and name) and self.is_group(group)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the slots, or the installed components of one."""
        group = config_path.strip("/")
        if not group:
            return [] if results_filter is ObjectType.CONFIG else known_slots()
        if results_filter is ObjectType.GROUP or group not in known_slots():
            return []
        return list(available(group))

    def load_config(self, config_path: str) -> ConfigResult:
        """Return one option's defaults; ComponentError says why there are none."""
        group, _, name = config_path.removesuffix(".yaml").strip("/").rpartition("/")
        package = "_global_" if group in _GROUPS and group != "stages" else None
        match group:
            case "stage":
                content = _chain(name)
            case "burnish":
                content = _options(Sections)
            case "file":
                content = load_user_file()
            case "stages":
                content = {"use": name, **_options(stage_type(name))}
            case _:
                content = {"use": name, **_options(resolve(group, name))}
        return ConfigResult(
            config=OmegaConf.create(content),
            path=f"components://{config_path}",
            provider=self.provider,
            header={"package": package},
        )


class SearchPath(SearchPathPlugin):
    """Put the installed packages of presets, then the components, on Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them after the package of `train.yaml`."""
        for package in preset_packages():
            if package.provider.value != PRIMARY:
                search_path.append(str(package.provider.distribution), f"pkg://{package.provider.value}")
        search_path.append("burnish", "components://")


def _chain(names: str) -> dict[str, Any]:
    """Return a defaults list: each shared slot once, then each block, with recipes for the model."""
    blocks = chain_blocks(names)
    shared = shared_slots(blocks)
    chosen = [{f"/{slot}@{slot}": default} for slot, default in shared.items()]
    if "model" in shared:
        others = [slot for slot in shared if slot != "model"]
        chosen += [{f"optional /recipe@{slot}": f"{slot}_${{{slot}}}_${{model}}"} for slot in others]
    for block, stage in blocks.items():
        chosen.append({f"/stages@stages.{block}": stage})
        if "model" in shared_slots({block: stage}) and NAME.fullmatch(stage):
            chosen.append({f"optional /recipe@stages.{block}": f"{stage}_${{model}}"})
    return {"defaults": chosen}


def _options(component: Any) -> dict[str, Any]:
    """Return a dataclass's defaults as plain values, and a Hydra defaults list for the slots in it."""
    nested: list[Any] = []
    body = _body(component, None, "", nested) if isinstance(component, type) else {}
    return {"defaults": ["_self_", *nested], **body}


def _body(component: type[Any], instance: Any, prefix: str, nested: list[Any]) -> dict[str, Any]:
    """Return the options of a dataclass, with the values of an instance where a default is one."""
    body: dict[str, Any] = {}
    for name, option in options_of(component).items():
        declared, path = option.slot, f"{prefix}{name}"
        if declared is None:
            default = MISSING if option.default is None else option.default()
            value = default if instance is None else getattr(instance, name)
            kind = cast("type[Any]", type(value))
            is_nested = dataclasses.is_dataclass(kind)
            body[name] = _body(kind, value, f"{path}.", nested) if is_nested else _plain(value)
        else:
            several, shared = declared.kind == "slots", declared.kind == "shared"
            body[name] = {} if several else f"${{{declared.slot}}}" if shared else None
            if not shared:
                where = f"/{declared.slot}@{path}"
                nested += [{f"{where}.{label}" if several else where: label} for label in declared.default]
    return body


def _plain(value: Any) -> Any:
    """Return a default as YAML can hold it; a `${` in it stays text."""
    if isinstance(value, str):
        return value.replace("${", "\\${")
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
