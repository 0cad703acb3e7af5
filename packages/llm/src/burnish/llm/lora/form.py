"""A model that is trained by low-rank updates beside its matrices, and goes with them in it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from burnish.llm.bundle import Load
from burnish.llm.families.protocol import Path
from burnish.llm.lora.low_rank import ADAPTERS
from burnish.llm.lora.model import AdaptedLM, replaced, without_adapters
from burnish.llm.placement import place_params
from burnish.llm.sharding import parameter_shardings
from burnish.llm.tensor_layout import leaf_at
from burnish.platform.checkpoint.snapshot import Restored


@dataclass(frozen=True, kw_only=True)
class WithAdapters:
    """See `burnish.llm.trained_form.TrainedForm`."""

    model: AdaptedLM
    mesh: Mesh
    seed: int

    def load(self, load: Load, like: Any) -> Any:
        """Return the base, and fresh updates beside it, drawn by the seed."""
        base = load(without_adapters(like))
        rounded = {path: leaf_at(base, path).astype(leaf_at(like, path).dtype) for path in self.model.targets}
        made = self.model.beside(replaced(base, rounded), self.seed)
        return {**base, ADAPTERS: place_params(made[ADAPTERS], like[ADAPTERS])}

    def finished(self, params: Any) -> Any:
        """Return the base's parameters with the updates in them; what is not adapted is the very buffer."""
        weights = {path: leaf_at(params, path) for path in self.model.targets}
        made = _compiled_merge(self.model, self.mesh)(weights, params[ADAPTERS])
        return replaced(without_adapters(params), made)

    def saved(self, params: Any) -> Mapping[str, Any]:
        """Return the base as `params`, without the updates, and the updates as `adapters`."""
        return {"params": without_adapters(params), ADAPTERS: params[ADAPTERS]}

    def restored(self, checkpoint: Restored, like: Any, load: Load) -> Any:
        """Return the base and its updates."""
        del load
        base = checkpoint.tree("params", without_adapters(like))
        return {**base, ADAPTERS: checkpoint.tree(ADAPTERS, like[ADAPTERS])}

    def files(self) -> Mapping[str, bytes]:
        """Return none."""
        return {}


@functools.cache
def _compiled_merge(model: AdaptedLM, mesh: Mesh) -> Callable[[Mapping[Path, Any], Any], dict[Path, Any]]:
    """Return the jitted merge, whose matrices lie where those of the base do."""
    shardings = parameter_shardings(model.base, mesh)
    return jax.jit(
        model.merged_leaves, out_shardings={path: leaf_at(shardings, path) for path in model.targets}
    )
