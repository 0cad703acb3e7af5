"""What a batch will look like, before there is anything to put into it."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from burnish.llm.batch import WEIGHTS, TokenBatch


def batch_like(
    *,
    num_rows: int,
    length: int,
    columns: Sequence[str] = (),
    shares_prefixes: bool = False,
    max_sequences: int = 1,
) -> TokenBatch:
    """Return shapes and dtypes of the batches that `make_batch` makes with these arguments.

    `columns` are those that lie beside the weights, the temperature of sampled tokens among them.
    """
    integers = jax.ShapeDtypeStruct((num_rows, length), np.int32)
    branches = integers if shares_prefixes else None
    return TokenBatch(
        tokens=integers,
        positions=integers,
        segment_ids=integers,
        sequences=integers,
        sample_ids=integers,
        columns={
            name: jax.ShapeDtypeStruct((num_rows, length), np.float32)
            for name in dict.fromkeys([*columns, WEIGHTS])
        },
        predecessors=branches,
        visible_until=branches,
        max_sequences=max_sequences,
    )
