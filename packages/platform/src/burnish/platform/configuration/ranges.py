"""Numbers with a range, as types for the options of components.

Where none of these fits, `Annotated[int, Field(ge=2)]` with pydantic's `Field` does. `option_types` checks
them and says what is legal; rules about several options at once stay in `__post_init__`.
"""

from typing import Annotated

from pydantic import Field

LARGEST = 2**31 - 1
"""The largest size or count: what goes beyond is a typing error, and overflows somewhere below."""

SMALL = 2**16
"""The largest count of what is gone through one by one."""

Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""A number of things of which there is one at least."""

SmallCount = Annotated[int, Field(ge=1, le=SMALL)]
"""A number of things that are gone through one by one, such as layers."""

CountOrZero = Annotated[int, Field(ge=0, le=LARGEST)]
"""A number of things of which there may be none."""

PairCount = Annotated[int, Field(ge=2, le=LARGEST)]
"""A number of things of which it takes two."""

Whole = Annotated[int, Field(ge=0, lt=2**63)]
"""A whole number that names something and counts nothing."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What a random generator begins with."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveOrInfinite = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole."""

ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
"""A part of a whole that leaves some of it."""

ShareWithin = Annotated[float, Field(gt=0, lt=1)]
"""A part of a whole that is neither nothing nor all."""
