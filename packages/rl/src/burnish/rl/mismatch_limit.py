"""The limit on how far engine and trainer may be apart, before a rollout counts as one of another policy.

In float32 it is a number. In bfloat16 two correct programs differ by what rounding does to this very model,
which grows with its depth and its logits: the limit is a multiple of that noise floor, measured on the batch
that seems to exceed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from burnish.llm.batch import TokenBatch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.rounding import in_fp32
from burnish.llm.scoring import Scorer
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.rl.objectives.mismatch import ABSOLUTE

FLOAT32_LIMIT = 1e-4
"""Nats per token. Clean runs of the tiny model stay below 3e-7; one layer scaled by 1.05 is above 8e-4."""

MULTIPLE = 1.5
"""Of the noise floor. Clean engines are at 1.1 to 1.2 of it, with 2, 8 and 24 layers alike."""


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """Measures what rounding to the compute dtype does to a model's log-probabilities."""

    model: CausalLM
    mesh: Mesh

    def __call__(self, params: Any, batch: TokenBatch) -> float:
        """Return mean |log p in the dtype of `params` - log p in fp32|, in nats per trained token."""
        score = Scorer(model=self.model, mesh=self.mesh, micro_batch_rows=self._micro_batch_rows)
        rounded, exact = (
            np.asarray(jax.device_get(score(tree, batch, ["logprobs"])["logprobs"]), np.float64)
            for tree in (params, in_fp32(params))
        )
        trained = batch.trained
        return float(np.sum(np.abs(rounded - exact) * trained) / max(np.sum(trained), 1.0))

    @property
    def _micro_batch_rows(self) -> int:
        """A row per device: what is kept in fp32 for it is small beside the update's own."""
        return self.mesh.shape["dp"] * self.mesh.shape["fsdp"]


@dataclass(kw_only=True)
class MismatchLimit:
    """Nats per token that the first update of a rollout may find; a part of checkpoints."""

    nats: float
    """The limit; with a floor, the largest that was measured, 0 before the first time."""
    floor: NoiseFloor | None = None
    """Measures the limit anew before it is said to be exceeded; None where it is a fixed number."""

    @classmethod
    def of(
        cls, configured: float | Literal["auto"], compute_dtype: str, floor: NoiseFloor
    ) -> "MismatchLimit":
        """Return the limit of a configuration; `auto` is measured where the dtype rounds."""
        if configured != "auto":
            return cls(nats=configured)
        return cls(nats=FLOAT32_LIMIT) if compute_dtype == "float32" else cls(nats=0.0, floor=floor)

    def exceeded(self, statistics: Mapping[str, Any], params: Any, batch: TokenBatch) -> str | None:
        """Look at an update of `batch` made with `params`, which waits for it; return the reason to stop.

        A mismatch that is not a number stops the run too.
        """
        total, count = statistics[ABSOLUTE]
        mismatch = float(total) / max(float(count), 1.0)
        if not mismatch <= self.nats and self.floor is not None:
            self.nats = max(self.nats, FLOAT32_LIMIT, MULTIPLE * self.floor(params, batch))
        if mismatch <= self.nats:
            return None
        return (
            f"{ABSOLUTE} is {mismatch:.2e} nats per token, above max_mismatch={self.nats:.2g}: the "
            "engine does not sample from the trained policy (stale or altered weights, other numerics)"
        )

    def save_state(self) -> Snapshot:
        """Return the limit."""
        return Snapshot(json={"nats": self.nats})

    def load_state(self, restored: Restored) -> None:
        """Take the limit up again."""
        self.nats = float(restored.json["nats"])
