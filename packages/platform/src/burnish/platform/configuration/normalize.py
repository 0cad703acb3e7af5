"""The one place where a composed mapping becomes a typed `Config`, or a one-line error that says where not.

Hydra refuses unknown keys only in plain overrides; here every mapping's keys are compared with the fields of
its dataclass, the top level's too, every component form is read, every value is checked against its type.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from pydantic_core import to_jsonable_python

from burnish.platform.configuration.chain import chain_blocks, stage_type
from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.config import Config, Sections
from burnish.platform.configuration.option_types import as_number, check, show
from burnish.platform.configuration.options import MISSING, Option, options_of
from burnish.platform.configuration.registry import (
    IMPORT_PATH,
    Provider,
    claims,
    known_slots,
    provider,
    resolve,
)
from burnish.platform.configuration.slot_fields import SlotField
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError, RequiredError, UnknownKeyError, placed


class Checked(NamedTuple):
    """A typed value, and the same as plain values for `config.yaml`."""

    value: Any
    resolved: Any


def normalize(composed: Mapping[str, Any], choices: Mapping[str, str | None]) -> Config:
    """Return the typed config of a composed mapping, whose interpolations are resolved.

    `choices` are Hydra's: config group (`engine`, `advantage@stages.rl.advantage`) to chosen option; `stage`
    is the chain.

    Raises:
        ConfigError: an unknown key, an illegal value, a block outside of the chain, a contradiction.
        ComponentError: a component that is not there or fails to import.
    """
    reader = _Reader(composed, choices)
    blocks = chain_blocks(str(choices["stage"]))
    chain = "+".join(blocks.values())
    names = list(options_of(Sections))
    slots = set(known_slots()).intersection(composed).difference(names)
    _refuse_unknown("", composed, [*names, *sorted(slots), "stages"])
    sections = reader.section(Sections, "", {name: composed.get(name, {}) for name in names})
    given = _mapping("stages", composed.get("stages", {}))
    if outside := sorted(given.keys() - blocks.keys()):
        near, has = suggestion(outside[0], blocks), ", ".join(blocks)
        raise ConfigError(
            f"stages.{outside[0]}: the chain stage={chain} has no such block{near}; it has {has}"
        )
    stages, plain_stages = _parted(
        {block: reader.component("stage", f"stages.{block}", given.get(block)) for block in blocks}
    )
    if unused := sorted(slots - reader.shared.keys()):
        raise ConfigError(f"{unused[0]}: no stage of the chain stage={chain} uses it; leave it out")
    shared, plain_shared = _parted(reader.shared)
    return Config(
        **cast("dict[str, Any]", vars(sections.value)),
        shared=shared,
        stages=stages,
        resolved={**sections.resolved, **plain_shared, "stages": plain_stages},
        components=tuple(reader.providers),
    )


def _parted(checked: Mapping[str, Checked]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the typed values by name, and the plain ones."""
    values: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for name, each in checked.items():
        values[name], plain[name] = each
    return values, plain


@dataclass
class _Reader:
    """One composed mapping on its way; holds the shared components and records what is used."""

    composed: Mapping[str, Any]
    choices: Mapping[str, str | None]
    shared: dict[str, Checked] = field(default_factory=dict[str, Checked])
    providers: dict[Provider, None] = field(default_factory=dict[Provider, None])

    def component(self, slot: str, path: str, given: Any) -> Checked:
        """Read one component in any of its forms."""
        if slot == "stage" and given is None:
            raise ConfigError(f"{path}: it is in the chain and has no options; take it out of stage= instead")
        name, options = _selection(slot, path, given)
        group = "stages" if slot == "stage" else slot
        key = group if path == group else f"{group}@{path}"
        choice = self.choices.get(key)
        if choice not in (None, name) and not isinstance(given, str):
            self._refuse_other_choice(slot, path, name, key)
        found = stage_type(name) if slot == "stage" else resolve(slot, name)
        self.providers.setdefault(provider(slot, name))
        if not isinstance(found, type):
            if options:
                legal = f"'{name}' is a function and has no options"
                raise ConfigError(f"{path}.{next(iter(options))}: unknown key; {legal}")
            return Checked(FunctionComponent(found), {"use": name})
        checked = self.section(found, path, options)
        return Checked(checked.value, {"use": name, **checked.resolved})

    def section(self, kind: type[Any], path: str, given: Any) -> Checked:
        """Check a mapping against a dataclass, field by field, and make it."""
        given = _mapping(path, given)
        options = options_of(kind)
        if not given.keys() <= options.keys():
            _refuse_unknown(path, given, list(options))
        checked: dict[str, Checked] = {}
        for name, option in options.items():
            where = f"{path}.{name}".lstrip(".")
            if option.slot is not None:
                checked[name] = self._held(option.slot, where, given.get(name, _ABSENT))
            elif name in given:
                checked[name] = self._option(option, where, given[name])
            elif option.default is None:
                raise RequiredError(_required(where))
        values, plain = _parted(checked)
        with placed(path, ValueError):
            value = kind(**values)
        for name in options.keys() - plain.keys():
            plain[name] = to_jsonable_python(getattr(value, name))
        return Checked(value, {name: plain[name] for name in options})

    def _option(self, option: Option, path: str, given: Any) -> Checked:
        if option.is_section:
            return self.section(option.annotation, path, given)
        if given == MISSING:
            raise RequiredError(_required(path))
        given = as_number(option.annotation, given)
        return Checked(check(path, option.annotation, given), given)

    def _held(self, declared: SlotField, path: str, given: Any) -> Checked:
        """Read what a field holds for its slot: the component at the top or its own, several, one, none."""
        slot = declared.slot
        if declared.kind == "shared":
            if slot not in self.composed:
                raise ConfigError(
                    f"{slot}: {path} needs it and it is not there; add +{slot}={declared.default[0]}"
                )
            if slot not in self.shared:
                self.shared[slot] = self.component(slot, slot, self.composed[slot])
            is_own = given is not _ABSENT and given != self.composed[slot]
            return self.component(slot, path, given) if is_own else self.shared[slot]
        if declared.kind == "slots":
            return self._several(declared, path, given)
        if given is _ABSENT:
            given = next(iter(declared.default), None)
        if given is None and declared.kind == "optional":
            return Checked(None, None)
        return self.component(slot, path, given)

    def _several(self, declared: SlotField, path: str, given: Any) -> Checked:
        """Read several components by their labels; null removes one, and stays in the record of a default."""
        defaults = {label: label for label in declared.default}
        given = defaults if given is _ABSENT else _mapping(path, given)
        kept = {label: value for label, value in given.items() if value is not None}
        for label in given.keys() - kept.keys() - defaults.keys():
            if f"{declared.slot}@{path}.{label}" not in self.choices:
                near, there = suggestion(label, kept), ", ".join(kept) or "none"
                raise ConfigError(f"{path}.{label}: null removes what is not there{near}; there are {there}")
        members = {
            label: self.component(declared.slot, f"{path}.{label}", value) for label, value in kept.items()
        }
        values, plain = _parted(members)
        return Checked(values, plain | {label: None for label in defaults if label not in kept})

    def _refuse_other_choice(self, slot: str, path: str, name: str, key: str) -> None:
        """Refuse a `use` that differs from what was chosen, whose options were composed."""
        choice = str(self.choices[key])
        if IMPORT_PATH.fullmatch(choice) or choice in claims(slot):
            raise ConfigError(
                f"{path}.use: '{name}' contradicts the chosen '{choice}', whose options are composed here; "
                f"choose it by {key}={name}, in a preset by 'override /{key}: {name}'"
            )


class _Absent:
    """A key that a mapping does not have; None is a value."""


_ABSENT = _Absent()


def _selection(slot: str, path: str, given: Any) -> tuple[str, Mapping[str, Any]]:
    """Read `name`, `{use: name, ...}` and `{target: name, kwargs: {...}}` as a name and its options."""
    if isinstance(given, str):
        return given, {}
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{path}: expected a name for the slot '{slot}' or a mapping with 'use', got {show(given)}"
        )
    options = dict(cast("Mapping[str, Any]", given))
    if "target" in options:
        kwargs = options.pop("kwargs", {})
        name = options.pop("target")
        _refuse_unknown(path, options, ["target", "kwargs"])
        options = dict(_mapping(f"{path}.kwargs", kwargs))
    elif "use" in options:
        name = options.pop("use")
    else:
        raise ConfigError(
            f"{path}: it does not say which {slot} it is; add 'use', a name or 'package.module:Symbol'"
        )
    if not isinstance(name, str):
        raise ConfigError(f"{path}.use: expected a name for the slot '{slot}', got {show(name)}")
    return name, options


def _mapping(path: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path}: expected a mapping of options, got {show(given)}")
    return cast("Mapping[str, Any]", given)


def _refuse_unknown(path: str, given: Mapping[str, Any], legal: list[str]) -> None:
    prefix = f"{path}." if path else ""
    for key in given:
        if key not in legal:
            keys = f"legal keys: {', '.join(legal)}" if legal else "it has no options"
            said = f"{prefix}{key}: unknown key{suggestion(str(key), legal)}; {keys}"
            raise UnknownKeyError(said, f"{prefix}{key}", legal)


def _required(path: str) -> str:
    return f"{path}: a value is required; set {path}=..."
