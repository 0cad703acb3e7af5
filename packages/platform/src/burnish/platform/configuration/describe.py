"""What a component is and what its options mean, in words: from its dataclass and the docstrings in it."""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.config import Config, Sections
from burnish.platform.configuration.field_docs import docs_of
from burnish.platform.configuration.option_types import legal, show
from burnish.platform.configuration.options import MISSING, Option, options_of
from burnish.platform.configuration.presets import preset_packages, preset_text
from burnish.platform.configuration.range_phrases import range_of
from burnish.platform.configuration.registry import available, known_slots, name_of, provider, resolve
from burnish.platform.configuration.slot_fields import SlotField
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ComponentError, ConfigError, UnknownKeyError

_WIDTH = 100
_INDENT = 4


def describe_slot(slot: str) -> Iterator[str]:
    """Yield what is installed for a slot or group of presets; ConfigError where there is no such thing."""
    presets = _presets()
    _require_known(slot, presets)
    for name, found in available(slot).items():
        yield f"{slot}={name}  from {found.origin}"
        try:
            yield from _wrapped(_summary(resolve(slot, name)))
        except ComponentError as error:
            yield from _wrapped(str(error))
    for option in presets:
        if option.startswith(f"{slot}/"):
            yield f"{option.replace('/', '=')}  a preset"


def _presets() -> list[str]:
    return [option for package in preset_packages() for option in package.options if "/" in option]


def _require_known(slot: str, presets: Sequence[str]) -> None:
    groups = sorted({*known_slots(), *(option.partition("/")[0] for option in presets)})
    if slot not in groups:
        near = suggestion(slot, ["metrics", *groups])
        raise ConfigError(
            f"unknown slot '{slot}'{near}; legal: {', '.join(groups)}; train --help {slot} explains an option"
        )


def describe_component(slot: str, name: str) -> Iterator[str]:
    """Yield what a component is, where it comes from, and its options with their defaults, or a preset.

    Raises:
        ConfigError: there is no such slot.
        ComponentError: nothing of this name is installed, or it fails to import.
    """
    if text := preset_text(f"{slot}/{name}"):
        yield from (f"{slot}={name}  a preset", *text.splitlines())
        return
    if slot not in known_slots():
        _require_known(slot, _presets())
    found, origin = resolve(slot, name), provider(slot, name)
    yield f"{slot}={name}  from {origin.origin} ({origin.value})"
    yield from _about(found)
    for option in options_of(found).values() if isinstance(found, type) else ():
        default = MISSING if option.default is None else option.default()
        path = f"stages.{name}.{option.name}" if slot == "stage" else option.name
        yield from _option(option, path, default, docs_of(cast("type[Any]", found)).get(option.name, ""))


def describe_path(config: Config, path: str) -> Iterator[str]:
    """Yield what stands at a path of a config: an option, or a section or component with its options.

    Raises:
        UnknownKeyError: nothing is there.
    """
    sections = {name: getattr(config, name) for name in options_of(Sections)}
    holder: Any = None
    held: Any = {**sections, **config.shared, "stages": config.stages}
    for depth, part in enumerate(parts := path.split(".")):
        if part not in (names := _names(held)):
            above, has = ".".join(parts[:depth]) or "a config", ", ".join(names) or "none"
            said = f"{path}: no such option{suggestion(part, names)}; {above} has {has}"
            raise UnknownKeyError(said, path, names)
        holder, held = held, _below(held, part)
    if not isinstance(holder, Mapping | None):
        kind = cast("type[Any]", type(holder))
        yield from _option(options_of(kind)[parts[-1]], path, held, docs_of(kind).get(parts[-1], ""))
    if isinstance(held, FunctionComponent):
        yield from _about(held.function)
    elif isinstance(held, Mapping):
        yield from (f"{path}.{name}" for name in _names(held))
    elif dataclasses.is_dataclass(held):
        component = cast("type[Any]", type(held))
        yield from _about(component)
        for name, option in options_of(component).items():
            doc = docs_of(component).get(name, "")
            yield from _option(option, f"{path}.{name}", getattr(held, name), doc)


def _names(held: Any) -> list[str]:
    """Return what can stand behind a dot after this."""
    if isinstance(held, Mapping):
        return list(cast("Mapping[str, Any]", held))
    is_plain = not dataclasses.is_dataclass(held) or isinstance(held, FunctionComponent)
    return [] if is_plain else list(options_of(cast("type[Any]", type(held))))


def _below(held: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", held)[name] if isinstance(held, Mapping) else getattr(held, name)


def describe_option(component: type[Any], name: str, path: str, value: Any) -> Iterator[str]:
    """Yield an option of a component that holds a plain value: the value, what is legal, what it means."""
    yield from _option(options_of(component)[name], path, value, docs_of(component).get(name, ""))


def _option(option: Option, path: str, value: Any, doc: str) -> Iterator[str]:
    """Yield an option with its value, what is legal, and what it means."""
    if option.slot is not None:
        yield from _held(option.slot, path, value)
    elif option.is_section:
        yield f"{path}: {', '.join(f'{path}.{name}' for name in _names(value))}"
    else:
        bounds = range_of(option.annotation)
        allowed = legal(option.annotation) + (f" ({bounds})" if bounds else "")
        yield f"{path}={'(required)' if value is MISSING else show(value)}  {allowed}"
    yield from _wrapped(doc)


def _held(declared: SlotField, path: str, value: Any) -> Iterator[str]:
    """Yield the component or components at a path, and what else is installed."""
    choices = ", ".join(available(declared.slot)) or "none is installed"
    where = f"the one at the top, {declared.slot}" if declared.kind == "shared" else path
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        named = [f"{label}={name_of(declared.slot, member)}" for label, member in members.items()]
        yield f"{path}.<label>=...  now: {', '.join(named) or 'none'}; components: {choices}"
    elif declared.kind == "shared":
        yield f"{path}: {where}={name_of(declared.slot, value)}; components: {choices}"
    else:
        name = "null" if value is None else name_of(declared.slot, value)
        yield f"{path}={name}  components: {choices}"


def _about(found: Callable[..., Any]) -> Iterator[str]:
    """Yield the docstring of a component."""
    yield from _wrapped(inspect.getdoc(found) or "")


def _summary(found: Callable[..., Any]) -> str:
    return (inspect.getdoc(found) or "").partition("\n\n")[0]


def _wrapped(text: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring, indented and wrapped."""
    for paragraph in filter(None, text.split("\n\n")):
        yield from textwrap.wrap(
            " ".join(paragraph.split()), _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT
        )
