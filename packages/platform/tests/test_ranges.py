import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field

from burnish.platform.configuration import ranges
from burnish.platform.configuration.option_types import check, check_options
from burnish.platform.data.config import Arithmetic
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (ranges.Count, 0, "n=0 is out of range; legal: 1 or more"),
        (ranges.Count, -3, "n=-3 is out of range; legal: 1 or more"),
        (ranges.Count, 2**31, "n=2147483648 is out of range; legal: 1 to 2147483647"),
        (ranges.Count, 10**23, f"n={10**23} is out of range; legal: 1 to 2147483647"),
        (ranges.Count, 1e23, "n: expected a whole number, got 1e+23"),
        (ranges.Count, math.nan, "n: expected a whole number, got NaN"),
        (ranges.Count, True, "n: expected a whole number, got true"),
        (ranges.Count, None, "n: expected a whole number, got null"),
        (ranges.CountOrZero, -1, "n=-1 is out of range; legal: 0 or more"),
        (ranges.PairCount, 1, "n=1 is out of range; legal: 2 or more"),
        (ranges.Whole, 2**63, f"n={2**63} is out of range; legal: 0 to below {2**63}"),
        (ranges.Seed, 2**32, "n=4294967296 is out of range; legal: 0 to 4294967295"),
        (ranges.Positive, 0.0, "n=0.0 is out of range; legal: above 0"),
        (ranges.Positive, math.nan, "n=nan is out of range; legal: above 0 and finite"),
        (ranges.Positive, math.inf, "n=inf is out of range; legal: above 0 and finite"),
        (ranges.PositiveOrInfinite, math.nan, "n=nan is out of range; legal: above 0"),
        (ranges.PositiveOrInfinite, -math.inf, "n=-inf is out of range; legal: above 0"),
        (ranges.NotNegative, -1e-9, "n=-1e-09 is out of range; legal: 0 or more"),
        (ranges.Finite, math.nan, "n=nan is out of range; legal: a finite number"),
        (ranges.Share, 1.5, "n=1.5 is out of range; legal: 0 to 1"),
        (ranges.Share, math.nan, "n=nan is out of range; legal: 0 to 1"),
        (ranges.ShareBelowOne, 1.0, "n=1.0 is out of range; legal: 0 to below 1"),
        (ranges.ShareWithin, 0.0, "n=0.0 is out of range; legal: above 0 and below 1"),
        (ranges.Count | None, 0, "n=0 is out of range; legal: 1 or more, or null"),
        (ranges.Count | Literal["all"], 0, "n=0 is out of range; legal: 1 or more, or 'all'"),
        (ranges.Count | Literal["all"], "al", "n: expected a whole number or 'all', got 'al' (did you mean"),
        (ranges.Positive | Literal["auto"], math.nan, "n=nan is out of range; legal: above 0"),
        (Mapping[str, ranges.Finite], {"a": math.inf}, "n.a=inf is out of range; legal: a finite number"),
        (tuple[ranges.Count, ...], (1, 0), "n.1=0 is out of range; legal: 1 or more"),
        (Annotated[float, Field(gt=0.5, le=2)], 3.0, "n=3.0 is out of range; legal: above 0.5 and at most 2"),
        (Annotated[int, Field(lt=5)], 5, "n=5 is out of range; legal: below 5"),
    ],
)
def test_a_number_out_of_its_range_is_refused_composed_and_in_python(annotation, value, said):
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        check("n", annotation, value)
    options = dataclass(frozen=True, kw_only=True)(
        type("Options", (), {"__annotations__": {"n": annotation}, "__module__": __name__})
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        check_options(options(n=value))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (ranges.Count, 1),
        (ranges.Count, 2**31 - 1),
        (ranges.CountOrZero, 0),
        (ranges.Positive, 1),
        (ranges.PositiveOrInfinite, math.inf),
        (ranges.Share, 1.0),
        (ranges.ShareBelowOne, 0),
        (ranges.Count | None, None),
        (ranges.Count | Literal["all"], "all"),
    ],
)
def test_a_number_at_the_edge_of_its_range_is_taken(annotation, value):
    assert check("n", annotation, value) == value


def test_a_null_character_anywhere_in_a_value_is_refused():
    for value in (("a", "b\0"), ["\0"]):
        with pytest.raises(ConfigError, match="n: expected a list, got one with a null character"):
            check("n", tuple[str, ...], value)
    with pytest.raises(ConfigError, match="n: expected a mapping, got one with a null character"):
        check("n", Mapping[str, float], {"\0": 1.0})


def test_what_is_made_in_python_is_checked_when_it_is_made():
    with pytest.raises(ConfigError, match="worked_fraction=nan is out of range; legal: 0 to 1"):
        Arithmetic(worked_fraction=math.nan)
    with pytest.raises(ConfigError, match=r"num_digits: expected a whole number, got 2\.5"):
        Arithmetic(num_digits=2.5)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("\ud800", "n: expected a text, got what is no Unicode"),
        ("a\0b", "n: expected a text, got one with a null character"),
        (b"x", "n: expected a text, got"),
    ],
)
def test_what_is_no_text_is_refused(value, said):
    with pytest.raises(ConfigError, match=said):
        check("n", str, value)
