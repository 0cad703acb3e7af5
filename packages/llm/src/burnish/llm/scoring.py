"""Forward passes without a gradient: what weights say of a batch, whether they are trained or frozen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float32

from burnish.llm.batch import TokenBatch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.micro_batches import check_rows, join_rows, place, row_shards, split_rows, with_scalars
from burnish.llm.policy import Policy, policy_of
from burnish.llm.row_sharding import on_mesh
from burnish.llm.sharding import batch_sharding

OUTPUTS = ("logprobs", "entropy", "log_normalizer", "is_argmax")
"""What can be asked of each token, by the names of `Policy`'s methods."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Scores batches with whatever weights of one model it is given; compiled once per shape and outputs."""

    model: CausalLM
    mesh: Mesh
    micro_batch_rows: int | str = "all"
    logprob_chunk: int = 1024

    def __call__(
        self, params: Any, batch: TokenBatch, outputs: Sequence[str]
    ) -> Mapping[str, Float32[Array, "b t"]]:
        """Return the columns that `outputs` names, of `OUTPUTS`, in the rows' own order."""
        rows = check_rows(batch.tokens.shape[0], self.micro_batch_rows, row_shards(self.mesh))
        return _compiled(self, rows, tuple(outputs))(params, place(batch, self.mesh))


def columns_of_policy(policy: Policy, outputs: Sequence[str]) -> dict[str, Float32[Array, "b t"]]:
    """Return the predictions that `outputs` names; ValueError for a name that is none of `OUTPUTS`."""
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown:
        raise ValueError(f"outputs {unknown} are none of {', '.join(OUTPUTS)}")
    return {name: getattr(policy, name)() for name in outputs}


@functools.cache
def _compiled(scorer: Scorer, micro_batch_rows: int, outputs: tuple[str, ...]) -> Callable[..., Any]:
    def score(params: Any, batch: TokenBatch) -> Mapping[str, Array]:
        def of_rows(micro_batch: TokenBatch) -> Mapping[str, Array]:
            rows = with_scalars(micro_batch, batch)
            return columns_of_policy(policy_of(scorer.model, params, rows, scorer.logprob_chunk), outputs)

        with on_mesh(scorer.mesh):
            columns = lax.map(of_rows, split_rows(batch, micro_batch_rows, scorer.mesh))
        return join_rows(columns, scorer.mesh)

    return jax.jit(score, out_shardings=batch_sharding(scorer.mesh))
