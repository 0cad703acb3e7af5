"""A model that is trained by low-rank updates beside its matrices, and goes with them in it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from burnish.llm.families.protocol import Path
from burnish.llm.lora.low_rank import ADAPTERS
from burnish.llm.lora.model import AdaptedLM, replaced, without_adapters
from burnish.llm.sharding import parameter_shardings
from burnish.llm.tensor_layout import leaf_at
from burnish.llm.trained_form import ReadTree
from burnish.platform.configuration.config import JaxConfig


@dataclass(frozen=True, kw_only=True)
class WithAdapters:
    """See `burnish.llm.trained_form.TrainedForm`."""

    model: AdaptedLM
    mesh: Mesh
    jax: JaxConfig
    seed: int

    def begin(self, params: Any) -> Any:
        """Return `params` with fresh updates beside them, drawn by the seed."""
        if not self.model.low_rank.dora:
            return self.model.beside(params, self.seed)
        # Magnitudes are norms of what is computed with, which has been rounded through the masters' dtype.
        rounded = {
            path: leaf_at(params, path).astype(self.jax.param_dtype).astype(self.jax.compute_dtype)
            for path in self.model.targets
        }
        return {**self.model.beside(replaced(params, rounded), self.seed), **params}

    def finished(self, params: Any) -> Any:
        """Return the base's parameters with the updates in them; what is not adapted is the very buffer."""
        weights = {path: leaf_at(params, path) for path in self.model.targets}
        made = _compiled_merge(self.model, self.mesh)(weights, params[ADAPTERS])
        return replaced(without_adapters(params), made)

    def saved(self, params: Any) -> Mapping[str, Any]:
        """Return the base as `params`, without the updates, and the updates as `adapters`."""
        return {"params": without_adapters(params), ADAPTERS: params[ADAPTERS]}

    def restored(self, read: ReadTree, like: Any, load: Callable[[], Any]) -> Any:
        """Return the base and its updates."""
        del load
        return {**read("params", without_adapters(like)), ADAPTERS: read(ADAPTERS, like[ADAPTERS])}

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
