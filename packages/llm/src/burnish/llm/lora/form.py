"""A model that is trained by low-rank updates beside its matrices, and goes with them in it."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from burnish.llm.bundle import Load
from burnish.llm.families.protocol import Path as LeafPath
from burnish.llm.lora.low_rank import ADAPTERS, LowRank, Target, target_of
from burnish.llm.lora.model import AdaptedLM, replaced, without_adapters
from burnish.llm.lora.peft_format import are_modules
from burnish.llm.lora.peft_writing import write_peft
from burnish.llm.lora.stored import BASE, BaseModel, StoredUpdates, read_updates, require_base, require_form
from burnish.llm.lora.values import merged
from burnish.llm.model_source import UPDATES, ModelSource
from burnish.llm.placement import place_params
from burnish.llm.sharding import parameter_shardings
from burnish.llm.tensor_layout import leaf_at
from burnish.platform import atomic
from burnish.platform.checkpoint.manifest import write_manifest
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WithAdapters:
    """See `burnish.llm.trained_form.TrainedForm`."""

    model: AdaptedLM
    mesh: Mesh
    seed: int
    origin: ModelSource | None = None
    """The files of the base; None where it is not all of what they hold."""
    names_base: bool = False
    """Whether checkpoints name the base rather than hold it."""
    is_all_of_it: bool = True
    """Whether nothing of the base is trained beside the updates."""

    def load(self, load: Load, like: Any) -> Any:
        """Return the base, and fresh updates beside it, drawn by the seed."""
        base = load(without_adapters(like))
        rounded = {path: leaf_at(base, path).astype(leaf_at(like, path).dtype) for path in self.model.targets}
        made = self.model.beside(replaced(base, rounded), self.seed)
        return {**base, ADAPTERS: place_params(made[ADAPTERS], like[ADAPTERS])}

    def finished(self, params: Any, exact: Callable[[], Any]) -> Any:
        """Return the base's parameters with the updates in them; what is not adapted is the very buffer.

        Masters are merged, and rounded once: copies of them in the compute dtype are rounded before.
        """
        weights = {path: leaf_at(params, path) for path in self.model.targets}
        made = _compiled_merge(self.model, self.mesh)(weights, exact()[ADAPTERS])
        return replaced(without_adapters(params), made)

    def exported(self, exact: Any) -> Any:
        """Return the base's parameters with the updates in them, merged in fp32 one by one."""
        made = {}
        for path in self.model.targets:
            merge = _compiled_exact_merge(target_of(self.model.base, path), self.model.low_rank)
            made[path] = jax.device_get(merge(leaf_at(exact, path), leaf_at(exact[ADAPTERS], path)))
        return jax.device_get(replaced(without_adapters(exact), made))

    def saved(self, params: Any) -> Mapping[str, Any]:
        """Return the updates as `adapters`, and the base without them as `params` unless it is named."""
        own = {ADAPTERS: params[ADAPTERS]}
        return own if self.names_base else {"params": without_adapters(params), **own}

    def restored(self, checkpoint: Restored, like: Any) -> Any:
        """Return the updates, and the base unless it is named.

        CheckpointError where they are of another one, or of another form.
        """
        stored = read_updates(json.loads(checkpoint.file(UPDATES)))
        require_form(stored, self.model)
        if self.names_base:
            require_base(stored.base, self._base)
            base = {}
        else:
            base = checkpoint.tree("params", without_adapters(like))
        return {**base, ADAPTERS: checkpoint.tree(ADAPTERS, like[ADAPTERS])}

    def files(self, is_moved: bool) -> Mapping[str, bytes]:
        """Return what says how the updates are merged, and with what, if that is still what was loaded."""
        if self.names_base and is_moved:
            raise ConfigError(
                "checkpoint=adapters: other weights took the place of the model that checkpoints name; "
                "set checkpoint=all"
            )
        stored = StoredUpdates(
            low_rank=self.model.low_rank,
            targets=self.model.targets,
            base=self._base if self.names_base else None,
        )
        return {UPDATES: stored.content()}

    def write(self, directory: Path, exact: Any) -> None:
        """Write the updates for peft, unless more than these is trained, or peft has no name for all."""
        if not (self.is_all_of_it and are_modules(self.model.base, self.model.targets)):
            return
        params = jax.device_get(exact)
        with atomic.publishing_directory(directory) as aside:
            write_peft(aside, self.model, params, self.origin)
            # Updates that name no base are read once someone has named it, which a manifest would forbid.
            if self.origin is not None:
                write_manifest(aside, {BASE: asdict(self._base)})

    @functools.cached_property
    def _base(self) -> BaseModel:
        assert self.origin is not None, "a base that is named lies in files"
        return BaseModel(name=self.origin.name, revision=self.origin.revision, sha256=self.origin.sha256())


@functools.cache
def _compiled_merge(model: AdaptedLM, mesh: Mesh) -> Callable[..., dict[LeafPath, Any]]:
    """Return the jitted merge, whose matrices lie where those of the base do."""
    shardings = parameter_shardings(model.base, mesh)
    return jax.jit(
        model.merged_leaves, out_shardings={path: leaf_at(shardings, path) for path in model.targets}
    )


@functools.cache
def _compiled_exact_merge(target: Target, low_rank: LowRank) -> Callable[..., Any]:
    """Return the jitted merge of one leaf in fp32."""
    return jax.jit(lambda weight, beside: merged(target, low_rank, weight.astype(jnp.float32), beside))
