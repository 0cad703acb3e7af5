"""The reference pages of the site, made from what is installed: options, components, presets, metrics, names.

What they say is what `burnish describe` says; nothing here knows a component by name.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.field_docs import docs_of
from burnish.platform.configuration.option_types import legal, show
from burnish.platform.configuration.options import Option, options_of
from burnish.platform.configuration.presets import preset_packages, preset_text
from burnish.platform.configuration.range_phrases import range_of
from burnish.platform.configuration.registry import Provider, available, known_slots, resolve
from burnish.platform.statistics.metric import registered_metrics

PACKAGES = ("platform", "llm", "sample", "sft", "rl", "minionerec")
_WIDE = "---\nhide: [toc]\n---\n"
_HEAD = "| option | default | legal | meaning |\n|---|---|---|---|\n"


def pages() -> dict[str, str]:
    """Return every page that is made, by its path in the docs."""
    made = {
        "reference/run/options.md": sections(),
        "reference/presets.md": presets(),
        "reference/metrics.md": metrics(),
    }
    for name, found in available("stage").items():
        made[f"reference/stages/{name}.md"] = stage(name, found)
    for slot in known_slots():
        if slot != "stage":
            made[f"reference/slots/{slot}.md"] = slot_page(slot)
    for package in PACKAGES:
        made[f"reference/python/{package}.md"] = python_names(package)
    return made


def sections() -> str:
    """Return the page of the sections that every run has."""
    lines = ["# Options of every run", ""]
    lines += ["Set one on the command line, `train run.seed=3`, or in a file. "]
    for name, option in options_of(Sections).items():
        lines += ["", f"## {name}", "", _doc(option.annotation), "", _table(option.annotation, f"{name}.")]
    return "\n".join(lines)


def stage(name: str, found: Provider) -> str:
    """Return the page of a stage: what it does, its options and its slots."""
    component = resolve("stage", name)
    return "\n".join(
        [
            f"{_WIDE}# Stage `{name}`",
            "",
            _doc(component),
            "",
            f"From {found.origin}. Choose it with `stage={name}`, alone or in a chain.",
            "",
            _table(component, f"stages.{name}."),
        ]
    )


def slot_page(slot: str) -> str:
    """Return the page of a slot: each installed component with its options."""
    lines = [f"# Slot `{slot}`", "", *_where_used(slot)]
    for name, found in available(slot).items():
        component = resolve(slot, name)
        lines += ["", f"## {name}", "", _doc(component), "", f"`{found.value}`, from {found.origin}.", ""]
        lines += [_table(component, "")]
    return "\n".join(lines)


def presets() -> str:
    """Return the page of all presets with their files."""
    lines = ["# Presets", "", "A preset is a file of options that an installed package brings along."]
    lines += ["`recipe/` is taken by itself where its model is chosen; the others are asked for by `+`."]
    for package in preset_packages():
        for option in (each for each in package.options if "/" in each):
            lines += ["", f"## {option}", "", f"From {package.provider.origin}: {_use_of(option)}.", ""]
            lines += ["```yaml", (preset_text(option) or "").rstrip(), "```"]
    return "\n".join(lines)


def metrics() -> str:
    """Return the page of what the recorded statistics mean."""
    lines = ["# Metrics", "", "What stands in a row of `metrics.jsonl`, and in TensorBoard.", ""]
    lines += [
        "`<label>` is what the config calls a component, `<reason>` and `<span>` what a component says.",
        "",
    ]
    lines += ["| metric | meaning | on the console |", "|---|---|---|"]
    for metric in sorted(registered_metrics(), key=lambda each: each.name):
        shown = f"`{metric.label}`{', per second' if metric.is_rate else ''}" if metric.label else ""
        lines.append(f"| `{metric.name}` | {_cell(metric.meaning)} | {shown} |")
    return "\n".join(lines)


def python_names(package: str) -> str:
    """Return the page of a package's public names; mkdocstrings writes each of them out."""
    module = importlib.import_module(f"burnish.{package}")
    lines = [f"# burnish.{package}", "", inspect.getdoc(module) or "", ""]
    lines += ["What is listed here is promised; what lies deeper is not."]
    for name in module.__all__:
        lines += ["", f"::: burnish.{package}.{name}"]
    return "\n".join(lines)


def rows(component: type[Any], path: str) -> Iterator[str]:
    """Yield a row for each option of a component; those of a section stand in its place."""
    for name, option in options_of(component).items():
        if option.is_section:
            yield from rows(option.annotation, f"{path}{name}.")
        else:
            default, allowed = _held(option) if option.slot is not None else _value(option)
            meaning = _cell(docs_of(component).get(name, ""))
            yield f"| `{path}{name}` | {default} | {allowed} | {meaning} |"


def _where_used(slot: str) -> Iterator[str]:
    """Yield which options hold a component of a slot."""
    for name in available("stage"):
        for option in options_of(resolve("stage", name)).values():  # pyright: ignore[reportArgumentType] - no function
            if option.slot is not None and option.slot.slot == slot:
                top = option.slot.kind == "shared"
                path = slot if top else f"stages.{name}.{option.name}"
                yield f"- `{path}{'.<label>' if option.slot.kind == 'slots' else ''}`, for the stage `{name}`"


def _use_of(option: str) -> str:
    group, _, name = option.partition("/")
    match group:
        case "experiment":
            return f"`train +experiment={name}`"
        case "recipe":
            return f"`recipe@<where>={name}`"
        case _:
            return f"`train +{group}@stages.<block>={name}`"


def _table(component: Any, path: str) -> str:
    """Return the options of a component as a table; a line where there are none."""
    lines = list(rows(component, path)) if isinstance(component, type) else []
    return _HEAD + "\n".join(lines) if lines else "It has no options."


def _value(option: Option) -> tuple[str, str]:
    bounds = range_of(option.annotation)
    default = "required" if option.default is None else f"`{show(option.default())}`"
    return _cell(default), _cell(legal(option.annotation) + (f" ({bounds})" if bounds else ""))


def _held(option: Option) -> tuple[str, str]:
    """Return the default of an option that holds components, and where the legal ones are listed."""
    declared = option.slot
    assert declared is not None
    default = ", ".join(f"`{name}`" for name in declared.default) or "none"
    kind = {"shared": "the one at the top", "slots": "several, by label", "optional": "one or null"}
    link = f"[{declared.slot}](../slots/{declared.slot}.md)"
    return default, f"{link}: {kind[declared.kind]}" if declared.kind in kind else link


def _doc(component: Callable[..., Any]) -> str:
    return inspect.getdoc(component) or ""


def _cell(text: str) -> str:
    """Return a text as one cell of a table; in code nothing but the bar needs an escape."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)
