import re
from functools import cached_property
from typing import Any, Protocol

import pytest

from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.conformance import conforming, members
from burnish.platform.errors import ComponentError

pytestmark = pytest.mark.fast


class Named(Protocol):
    @property
    def name(self) -> str: ...


class Speaks(Named, Protocol):
    def say(self, words: str) -> str: ...
    def __call__(self) -> None: ...


class Whole:
    def __init__(self) -> None:
        self.name = "whole"

    def say(self, words: str) -> str:
        return words

    def __call__(self) -> None: ...


class Lazy(Whole):
    def __init__(self) -> None: ...

    @cached_property
    def name(self) -> str:
        raise AssertionError("it is not to be computed")


class Wrapper:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self) -> None: ...


class Mute(Whole):
    say = "nothing"


@pytest.mark.parametrize("made", [Whole(), Lazy(), Wrapper(Whole())])
def test_what_has_every_member_is_returned(made):
    assert conforming("engine", made, made, Speaks) is made


def test_members_are_those_of_the_protocol_and_of_what_it_extends():
    assert list(members(Speaks)) == [("say", True), ("__call__", True), ("name", False)]


@pytest.mark.parametrize(
    ("made", "lacking"),
    [(None, "say, __call__, name"), (Mute(), "say"), (lambda: None, "say, name"), (Whole, "name")],
)
def test_what_lacks_a_member_is_named_with_it(made, lacking):
    def maker():
        raise AssertionError("it is not called again")

    message = f"builds a {type(made).__name__}, which lacks {lacking}; write it as {__name__}:Speaks says"
    with pytest.raises(ComponentError, match=re.escape(message)):
        conforming("engine", FunctionComponent(maker), made, Speaks)


def test_a_component_that_is_asked_itself_builds_nothing():
    with pytest.raises(ComponentError, match=r"engine '.*:Mute' lacks say;"):
        conforming("engine", mute := Mute(), mute, Speaks)
