"""What an advantage estimator is, and the step from one number per completion to one per token."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from burnish.rl.groups import Group

TokenAdvantages = Float[np.ndarray, " t"]
"""One number per token of a sample; 0 where nobody sampled."""


class Advantage(Protocol):
    """Groups to advantages; compares rewards, knows no model."""

    def __call__(self, groups: Sequence[Group]) -> list[list[TokenAdvantages]]:
        """Return, per group and scored sample, the advantage of each of its tokens."""
        ...


def spread(group: Group, values: Float[np.ndarray, " g"]) -> list[TokenAdvantages]:
    """Give every sampled token of a scored sample the sample's value."""
    return [
        np.where(sample.sampled, value, 0).astype(np.float32)
        for sample, value in zip(group.scored, values, strict=True)
    ]
