from dataclasses import dataclass
from typing import ClassVar

import pytest

from burnish.platform.configuration.component import FunctionComponent, fact
from burnish.platform.configuration.parts import needs_of

pytestmark = pytest.mark.fast


@dataclass(frozen=True, kw_only=True)
class Always:
    needs: ClassVar[frozenset[str]] = frozenset({"index"})


@dataclass(frozen=True, kw_only=True)
class Sometimes:
    is_indexed: bool = False

    @property
    def needs(self):
        return frozenset({"index"}) if self.is_indexed else frozenset()


def indexed(samples):
    return samples


indexed.needs = {"index"}


@pytest.mark.parametrize(
    "component",
    [Always(), Sometimes(is_indexed=True), FunctionComponent(indexed)],
    ids=["class", "option", "function"],
)
def test_fact_when_stated_then_is_found(component):
    assert fact(component, "needs", frozenset()) == {"index"}
    assert needs_of(component) == {"index"}


@pytest.mark.parametrize("component", [Sometimes(), FunctionComponent(len)], ids=["option", "function"])
def test_fact_when_not_stated_then_is_the_default(component):
    assert fact(component, "needs", frozenset()) == frozenset()
    assert fact(component, "size", 3) == 3
