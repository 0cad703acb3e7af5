"""The limit on how far engine and trainer may be apart, before a rollout counts as one of another policy.

In float32 it is a number. In bfloat16 two correct programs differ by what rounding does to this very model,
which grows with its depth and its logits: the limit is a multiple of that noise floor, measured on a stage's
first rollouts and after them on the batch that seems to exceed it. The multiple is a fixed one at first, then
what `mismatch_baseline` says, where that is less.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from burnish.llm.batch import TokenBatch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.rounding import in_fp32
from burnish.llm.scoring import Scorer
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.rl.mismatch_baseline import ROLLOUTS, MismatchBaseline, numerics
from burnish.rl.objectives.mismatch import ABSOLUTE

FLOAT32_LIMIT = 1e-4
"""Nats per token. Clean runs of the tiny model stay below 3e-7; one layer scaled by 1.05 is above 8e-4."""

MULTIPLE = 1.5
"""Of the noise floor. Clean engines are at .2 to .9 of it in runs on one CPU device, and at 1.1 to 1.2 beside
seven idle virtual ones, with 2, 8 and 24 layers alike."""


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

    @cached_property
    def numerics(self) -> Mapping[str, str | int]:
        """What the measurement depends on besides model and batch."""
        return numerics(self.mesh)

    @property
    def _micro_batch_rows(self) -> int:
        """A row per device: what is kept in fp32 for it is small beside the update's own."""
        return self.mesh.shape["dp"] * self.mesh.shape["fsdp"]


@dataclass(kw_only=True)
class MismatchLimit:
    """Nats per token that the first update of a rollout may find; a part of checkpoints."""

    state_version: ClassVar[int] = 0
    """It changes when a committed row is looked at and never in a step, so what it is goes with that row."""

    nats: float
    """The limit; with a floor, the largest that was measured, 0 before the first time; lowered where the
    baseline is complete and allows less."""
    floor: NoiseFloor | None = None
    """Measures the limit anew before it is said to be exceeded; None where it is a fixed number."""
    baseline: MismatchBaseline = field(default_factory=MismatchBaseline, init=False)
    """What the first rollouts found; empty where the limit is a fixed number."""

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
        if self.floor is None:
            return None if mismatch <= self.nats else self._reason(mismatch)
        if self.baseline.is_complete and mismatch <= self.nats:
            return None
        floor = self.floor(params, batch)
        self.nats = max(self.nats, FLOAT32_LIMIT, self._multiple * floor)
        if not mismatch <= self.nats:
            return self._reason(mismatch) if self._multiple == MULTIPLE else self._drift(mismatch, floor)
        if not self.baseline.is_complete:
            self._learn(mismatch, floor)
        return None

    def save_state(self) -> Snapshot:
        """Return the limit, and the baseline with what it was measured on."""
        if self.floor is None:
            return Snapshot(json={"nats": self.nats})
        measured = {"baseline": asdict(self.baseline), "numerics": dict(self.floor.numerics)}
        return Snapshot(json={"nats": self.nats, **measured})

    def load_state(self, restored: Restored) -> None:
        """Take the limit up again; where other numerics measured it, or no baseline is there, begin anew."""
        if self.floor is None:
            self.nats = float(restored.json["nats"])
        elif restored.json.get("numerics") == self.floor.numerics:
            self.nats = float(restored.json["nats"])
            self.baseline = MismatchBaseline(**restored.json["baseline"])

    @property
    def _multiple(self) -> float:
        """How many times the noise floor the limit is."""
        return min(MULTIPLE, self.baseline.allowed_share) if self.baseline.is_complete else MULTIPLE

    def _learn(self, mismatch: float, floor: float) -> None:
        """Take an update into the baseline; where that allows less, the last one lowers the limit."""
        self.baseline = self.baseline.after(mismatch, floor)
        if self._multiple < MULTIPLE:
            self.nats = max(FLOAT32_LIMIT, self._multiple * self.baseline.mean_floor)

    def _reason(self, mismatch: float) -> str:
        return (
            f"{ABSOLUTE} is {mismatch:.2e} nats per token, above max_mismatch={self.nats:.2g}: the "
            "engine does not sample from the trained policy (stale or altered weights, other numerics)"
        )

    def _drift(self, mismatch: float, floor: float) -> str:
        share = mismatch / max(floor, self.baseline.mean_floor)
        return (
            f"{self._reason(mismatch)}; it has drifted: in the first {ROLLOUTS} rollouts it was at most "
            f"{self.baseline.largest_share:.2f} of what rounding does to this model, now it is {share:.2f}; "
            "if the engine is right all the same, begin anew with `max_mismatch=<nats per token>`"
        )
