"""The one place where a composed mapping becomes a typed `Config`, or a one-line error that says where not.

Hydra refuses unknown keys only in plain overrides; here every mapping's keys are compared with the fields of
its dataclass, the top level's too, every component form is read, every value is checked against its type.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from pydantic_core import to_jsonable_python

from burnish.platform.configuration.chain import SECTIONS, chain_blocks, stage_type
from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.config import Config
from burnish.platform.configuration.option_types import annotation_of, check, show
from burnish.platform.configuration.options import MISSING
from burnish.platform.configuration.registry import (
    IMPORT_PATH,
    Provider,
    claims,
    known_slots,
    provider,
    resolve,
)
from burnish.platform.configuration.slot_fields import SlotField, slot_field
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError


class Checked(NamedTuple):
    """A typed value, and the same as plain values for `config.yaml`."""

    value: Any
    resolved: Any


def normalize(
    composed: Mapping[str, Any], choices: Mapping[str, str | None], *, allow_import_paths: bool = True
) -> Config:
    """Return the typed config of a composed mapping, whose interpolations are resolved.

    `choices` are Hydra's: config group (`engine`, `advantage@stages.rl.advantage`) to chosen option; `stage`
    is the chain.

    Raises:
        ConfigError: an unknown key, an illegal value, a block outside of the chain, a contradiction.
        ComponentError: a component that is not there or fails to import.
    """
    return _Normalizer(composed, choices, allow_import_paths).config()


class _Normalizer:
    """One composed mapping on its way; holds the shared components and records what is used."""

    def __init__(
        self, composed: Mapping[str, Any], choices: Mapping[str, str | None], allow_import_paths: bool
    ) -> None:
        self.composed = composed
        self.choices = choices
        self.allow_import_paths = allow_import_paths
        self.shared: dict[str, Checked] = {}
        self.providers: dict[Provider, None] = {}

    def config(self) -> Config:
        blocks = chain_blocks(str(self.choices["stage"]))
        chain = "+".join(blocks.values())
        slots = [slot for slot in known_slots() if slot in self.composed and slot not in SECTIONS]
        _refuse_unknown("", self.composed, [*SECTIONS, *slots, "stages"])
        sections = {
            name: self.section(kind, name, self.composed.get(name, {})) for name, kind in SECTIONS.items()
        }
        given = _mapping("stages", self.composed.get("stages", {}))
        for block in given:
            if block not in blocks:
                near, has = suggestion(block, blocks), ", ".join(blocks)
                raise ConfigError(
                    f"stages.{block}: the chain stage={chain} has no such block{near}; it has {has}"
                )
        stages = {block: self._stage(block, given) for block in blocks}
        for slot in slots:
            if slot not in self.shared:
                raise ConfigError(f"{slot}: no stage of the chain stage={chain} uses it; leave it out")
        resolved = {name: checked.resolved for name, checked in (sections | self.shared).items()}
        return Config(
            **{name: checked.value for name, checked in sections.items()},
            shared={slot: checked.value for slot, checked in self.shared.items()},
            stages={block: checked.value for block, checked in stages.items()},
            resolved=resolved | {"stages": {block: checked.resolved for block, checked in stages.items()}},
            components=tuple(self.providers),
        )

    def _stage(self, block: str, given: Mapping[str, Any]) -> Checked:
        if block not in given:
            raise ConfigError(
                f"stages.{block}: it is in the chain and has no options; take it out of stage= instead"
            )
        return self.component("stage", f"stages.{block}", given[block], group="stages")

    def component(self, slot: str, path: str, given: Any, group: str | None = None) -> Checked:
        """Read one component in any of its forms."""
        name, options = _selection(slot, path, given)
        self._refuse_other_choice(group or slot, slot, path, name, given)
        found = resolve(slot, name, self.allow_import_paths)
        self.providers.setdefault(provider(slot, name))
        if slot == "stage":
            found = stage_type(name)
        if not isinstance(found, type):
            _refuse_unknown(path, options, [])
            return Checked(FunctionComponent(found), {"use": name})
        checked = self.section(found, path, options)
        return Checked(checked.value, {"use": name, **checked.resolved})

    def section(self, kind: type[Any], path: str, given: Any) -> Checked:
        """Check a mapping against a dataclass, field by field, and make it."""
        given = _mapping(path, given)
        fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
        _refuse_unknown(path, given, list(fields))
        checked: dict[str, Checked] = {}
        for name, field in fields.items():
            declared, where = slot_field(field), f"{path}.{name}"
            if declared is not None:
                checked[name] = self._referenced(declared, where, given.get(name, _ABSENT))
            elif name in given:
                checked[name] = self._option(kind, field, where, given[name])
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ConfigError(_required(where))
        try:
            value = kind(**{name: value for name, (value, _) in checked.items()})
        except ValueError as error:
            message = " ".join(str(error).split())
            raise ConfigError(
                message if message.lstrip("`").startswith(path) else f"{path}: {message}"
            ) from error
        plain = {name: resolved for name, (_, resolved) in checked.items()}
        return Checked(
            value,
            {name: plain[name] if name in plain else _as_plain(value, name) for name in fields},
        )

    def _option(self, kind: type[Any], field: "dataclasses.Field[Any]", path: str, given: Any) -> Checked:
        annotation = annotation_of(kind, field)
        if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            return self.section(annotation, path, given)
        if given == MISSING:
            raise ConfigError(_required(path))
        return Checked(check(path, annotation, given), given)

    def _referenced(self, declared: SlotField, path: str, given: Any) -> Checked:
        if declared.kind == "shared":
            return self._shared(declared, path, given)
        if declared.kind == "slots":
            given = dict.fromkeys(declared.default) if given is _ABSENT else _mapping(path, given)
            members = {
                label: self.component(declared.slot, f"{path}.{label}", label if value is None else value)
                for label, value in given.items()
            }
            return Checked(
                {label: checked.value for label, checked in members.items()},
                {label: checked.resolved for label, checked in members.items()},
            )
        if given is _ABSENT:
            given = next(iter(declared.default), None)
        if given is None and declared.is_optional:
            return Checked(None, None)
        return self.component(declared.slot, path, given)

    def _shared(self, declared: SlotField, path: str, given: Any) -> Checked:
        """Return the component at the top, or the one that a stage has in its place."""
        slot = declared.slot
        if slot not in self.composed:
            raise ConfigError(
                f"{slot}: {path} needs it and it is not there; add +{slot}={declared.default[0]}"
            )
        if slot not in self.shared:
            self.shared[slot] = self.component(slot, slot, self.composed[slot])
        if given is _ABSENT or given == self.composed[slot]:
            return self.shared[slot]
        return self.component(slot, path, given)

    def _refuse_other_choice(self, group: str, slot: str, path: str, name: str, given: Any) -> None:
        key = group if path == group else f"{group}@{path}"
        choice = self.choices.get(key)
        if choice is None or choice == name or isinstance(given, str):
            return
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
            raise ConfigError(f"{prefix}{key}: unknown key{suggestion(str(key), legal)}; {keys}")


def _required(path: str) -> str:
    return f"{path}: a value is required; set {path}=..."


def _as_plain(value: Any, name: str) -> Any:
    """Return a default that nobody wrote as plain values."""
    return to_jsonable_python(getattr(value, name))
