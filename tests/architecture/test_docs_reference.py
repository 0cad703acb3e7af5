"""The reference holds all that is installed, and follows what changes."""

import importlib
from dataclasses import dataclass

import pytest

from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.presets import preset_packages
from burnish.platform.configuration.registry import available, known_slots, resolve
from burnish.platform.statistics.metric import registered_metrics

pytestmark = pytest.mark.fast


@pytest.fixture
def reference(ci_script):
    return ci_script("docs_reference")


def test_each_component_has_its_options(reference):
    pages = reference.pages()
    for slot in known_slots():
        for name in available(slot):
            is_stage = slot == "stage"
            page = pages[f"reference/stages/{name}.md" if is_stage else f"reference/slots/{slot}.md"]
            component = resolve(slot, name)
            assert (f"# Stage `{name}`" if is_stage else f"\n## {name}\n") in page
            for option in options_of(component) if isinstance(component, type) else ():
                assert f"| `{f'stages.{name}.' if is_stage else ''}{option}` |" in page


def test_sections_presets_metrics_and_names_are_there(reference):
    pages = reference.pages()

    assert all(f"\n## {name}\n" in pages["reference/run/options.md"] for name in options_of(Sections))
    assert (
        "| `jax.mesh.dp` | `1` | a whole number or 'auto' (1 or more) |" in pages["reference/run/options.md"]
    )
    options = [option for package in preset_packages() for option in package.options if "/" in option]
    assert "algorithm/grpo" in options
    assert all(f"\n## {option}\n" in pages["reference/presets.md"] for option in options)
    assert all(f"| `{metric.name}` |" in pages["reference/metrics.md"] for metric in registered_metrics())
    names = importlib.import_module("burnish.sample").__all__
    assert all(f"::: burnish.sample.{name}\n" in f"{pages['reference/python/sample.md']}\n" for name in names)


def test_every_package_has_a_page_of_names(reference, root):
    members = {file.parent.name for file in root.glob("packages/*/pyproject.toml")}
    assert set(reference.PACKAGES) == members


@dataclass(frozen=True, kw_only=True)
class Odd:
    size: int = 3
    """A size <in bytes> or `a|b`."""


def test_what_a_table_would_misread_is_escaped(reference):
    assert list(reference.rows(Odd, "x.")) == [
        "| `x.size` | `3` | a whole number | A size &lt;in bytes> or `a\\|b`. |"
    ]
