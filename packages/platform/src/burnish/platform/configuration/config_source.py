"""Installed components as Hydra config groups: a config source, its place on the search path, the chain.

The source answers for every slot (`engine/in_process`), for the blocks of a chain (`stages/rl`), for the
chain itself (`stage/sft+rl`), for the sections that every run has (`burnish/sections`) and for the user's
file (`file/user`). It says what the options are; `normalize` says whether their values are legal.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from burnish.platform.configuration.chain import SECTIONS, chain_blocks, stage_type
from burnish.platform.configuration.options import options, sections
from burnish.platform.configuration.presets import PRIMARY, preset_packages
from burnish.platform.configuration.registry import NAME, available, known_slots, resolve
from burnish.platform.configuration.slot_fields import slot_field
from burnish.platform.configuration.user_file import load_user_file


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

    def available(self) -> bool:
        """Return True: there is nothing to be missing."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Say whether a group is a slot, or one of the groups that a chain is made of."""
        group = config_path.strip("/")
        return group == "" or group in _LOADERS or group in known_slots()

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
        loader = _LOADERS.get(group)
        content = _component(group, name) if loader is None else loader(name)
        package = None if loader is None or loader is _block else "_global_"
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


def _component(slot: str, name: str) -> dict[str, Any]:
    found = resolve(slot, name)
    return {"use": name, **(options(found) if isinstance(found, type) else {})}


def _block(stage: str) -> dict[str, Any]:
    return {"use": stage, **options(stage_type(stage))}


def _chain(names: str) -> dict[str, Any]:
    """Return a defaults list: each shared slot once, then each block, with recipes for the model."""
    shared: dict[str, str] = {}
    entries: list[dict[str, str]] = []
    for block, stage in chain_blocks(names).items():
        fields = dataclasses.fields(stage_type(stage))
        declared = [found for field in fields if (found := slot_field(field))]
        own = {found.slot: found.default[0] for found in declared if found.kind == "shared"}
        shared = own | shared
        entries.append({f"/stages@stages.{block}": stage})
        if "model" in own and NAME.fullmatch(stage):
            entries.append({f"optional /recipe@stages.{block}": f"{stage}_${{model}}"})
    chosen = [{f"/{slot}@{slot}": default} for slot, default in shared.items()]
    recipes = [
        {f"optional /recipe@{slot}": f"{slot}_${{{slot}}}_${{model}}"} for slot in shared if slot != "model"
    ]
    return {"defaults": [*chosen, *(recipes if "model" in shared else []), *entries]}


def _sections(_: str) -> dict[str, Any]:
    return sections(SECTIONS)


def _user_file(_: str) -> dict[str, Any]:
    return load_user_file()


_LOADERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "stage": _chain,
    "stages": _block,
    "burnish": _sections,
    "file": _user_file,
}
