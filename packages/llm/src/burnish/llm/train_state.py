"""The arrays of a training state: masters, moments and counters of what is trained, and how they lie."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from burnish.llm.bundle import Load
from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.protocol import CausalLM
from burnish.llm.optimizer import OptimizerContext, TracedOptimizer, traced
from burnish.llm.partition import Partition
from burnish.llm.placement import cast
from burnish.llm.rounding import in_fp32
from burnish.llm.sharding import likeness_of, lying, parameter_shardings, replicated, shardings_of
from burnish.llm.state_sharding import optimizer_shardings
from burnish.platform.configuration.artifacts import Artifacts

State = dict[str, Any]
"""`params` (masters of what is trained), `opt_state`, and two counters: `step`, and `skipped` of those.

Where an average of the masters is kept it is `average`, in fp32.
"""


@dataclass(frozen=True, kw_only=True)
class StateLayout:
    """All that determines the arrays of a training state and where they lie; hashable."""

    model: CausalLM
    optimizer: Any
    total_steps: int
    param_dtype: str
    compute_dtype: str
    mesh: Mesh
    partition: Partition = field(default_factory=Partition)
    ema_decay: float = 0.0
    """Decay of the average of the masters; 0 where none is kept."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """Those that the optimizer needs, and no other: stages with equal layouts share what is compiled."""

    def optimize(self) -> TracedOptimizer:
        """Build the optimizer."""
        context = OptimizerContext(total_steps=self.total_steps, model=self.model, artifacts=self.artifacts)
        return traced(self.optimizer, context)

    def abstract_params(self) -> tuple[Any, Any]:
        """Return shapes and dtypes of the trainable masters and of the frozen parameters."""
        return self.parts_in(self.param_dtype)[0], self.parts_in(self.compute_dtype)[1]

    def parts_in(self, dtype: str) -> tuple[Any, Any]:
        """Return shapes of the trainable and frozen parameters, and the dtypes that the model has for one."""
        return self.partition.split(self.model.abstract(jnp.dtype(dtype)))

    def compute_copy(self, masters: Any) -> Any:
        """Return the masters as they are computed with, in buffers of their own."""
        return copy_like(masters, self.parts_in(self.compute_dtype)[0])

    def likeness(self) -> dict[str, Any]:
        """Return how parameters are loaded: those to train as masters, frozen ones in the narrower dtype.

        A checkpoint holds frozen ones in the masters' dtype and must be exact, so they are rounded to both.
        """
        is_narrow = "bfloat16" in (self.param_dtype, self.compute_dtype)
        masters, frozen = (
            leaves_by_path(likeness_of(self.model, dtype, self.mesh))
            for dtype in (self.param_dtype, "bfloat16" if is_narrow else "float32")
        )
        is_frozen = self.partition.is_frozen
        return nest({path: (frozen if is_frozen(path) else masters)[path] for path in masters})

    def param_shardings(self) -> tuple[Any, Any]:
        """Return the shardings of the trainable and of the frozen parameters."""
        axes = self.partition.split(self.model.logical_axes, cut=lambda names, _: names)
        parts = zip(self.abstract_params(), axes, strict=True)
        trainable, frozen = (shardings_of(abstract, names, self.mesh) for abstract, names in parts)
        return trainable, frozen

    def whole(self, trainable: Any, frozen: Any) -> Any:
        """Return the tree of all parameters, each on its devices; no leaf is copied but those cut by rows."""
        merged = self.partition.merge(trainable, frozen)
        if not self.partition.rows:
            return merged
        return jax.device_put(merged, parameter_shardings(self.model, self.mesh))

    def abstract_state(self) -> State:
        """Return the shapes and dtypes of the state without allocating any of it."""
        return jax.eval_shape(self.fresh_state, self.abstract_params()[0])

    def fresh_state(self, masters: Any) -> State:
        """Return the state before the first step, with `masters` of what is trained and moments in fp32."""
        counter = jnp.zeros((), jnp.int32)
        opt_state = self.optimize().blank().init(in_fp32(masters))
        state = {"params": masters, "opt_state": opt_state, "step": counter, "skipped": counter}
        return {**state, "average": fp32_copy(masters)} if self.ema_decay else state

    def state_shardings(self) -> State:
        """Return the sharding of each array of the state; moments lie as the parameters they belong to."""
        params, _ = self.param_shardings()
        everywhere, state = replicated(self.mesh), self.abstract_state()
        opt_state = optimizer_shardings(state["opt_state"], state["params"], params, self.mesh)
        lies = {"params": params, "opt_state": opt_state, "step": everywhere, "skipped": everywhere}
        return {**lies, "average": params} if self.ema_decay else lies


def copy_like(params: Any, like: Any) -> Any:
    """Return the parameters in other dtypes, in buffers of their own also when the dtypes are equal."""
    return jax.tree.map(lambda leaf, wanted: jnp.copy(leaf).astype(wanted.dtype), params, like)


def fp32_copy(params: Any) -> Any:
    """Return the parameters in fp32, in buffers of their own."""
    return jax.tree.map(jnp.copy, in_fp32(params))


@functools.cache
def start(layout: StateLayout) -> Callable[[Any], State]:
    """Return the jitted `fresh_state`; the masters are donated."""
    return jax.jit(layout.fresh_state, donate_argnums=0, out_shardings=layout.state_shardings())


def load_params(layout: StateLayout, load: Load) -> tuple[Any, Any, Any]:
    """Return masters, weights and frozen parameters, read to where they lie; no tree is held twice."""
    parts = layout.partition.split(load(layout.likeness()))
    masters, frozen = (
        jax.tree.map(cast, part, jax.tree.map(lying, *wanted))
        for part, *wanted in zip(parts, layout.abstract_params(), layout.param_shardings(), strict=True)
    )
    return masters, weights_of(layout)(masters), frozen


@functools.cache
def weights_of(layout: StateLayout) -> Callable[[Any], Any]:
    """Return the jitted `compute_copy` of masters."""
    shardings, _ = layout.param_shardings()
    return jax.jit(layout.compute_copy, out_shardings=shardings)


@functools.cache
def average_of(layout: StateLayout) -> Callable[[Any], Any]:
    """Return the jitted `fp32_copy` of masters, with which an average begins."""
    shardings, _ = layout.param_shardings()
    return jax.jit(fp32_copy, out_shardings=shardings)


@functools.cache
def adopt(layout: StateLayout, names: tuple[str, ...]) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """Return a jitted (trainable, frozen) -> (masters, weights, frozen), each in a buffer of its own.

    `names` are those at the top of the tree: all of what is trained, and what of the rest is given.
    """
    trainable, frozen = (of_names(part, names) for part in layout.param_shardings())

    def copies(to_train: Any, to_keep: Any) -> tuple[Any, Any, Any]:
        like_masters, like_saved = (of_names(part, names) for part in layout.parts_in(layout.param_dtype))
        like_kept = of_names(layout.parts_in(layout.compute_dtype)[1], names)
        masters = copy_like(to_train, like_masters)
        # Frozen ones go through the masters' dtype too: a checkpoint holds them in it and must be exact.
        kept = copy_like(copy_like(to_keep, like_saved), like_kept)
        return masters, layout.compute_copy(masters), kept

    return jax.jit(copies, out_shardings=(trainable, trainable, frozen))


def of_names(tree: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return what of a tree has these names at its top."""
    return {name: part for name, part in tree.items() if name in names}


@functools.cache
def copy_of_rest(layout: StateLayout) -> Callable[[State], State]:
    """Return a jitted copy: what is donated must not share memory with whoever read the checkpoint."""
    shardings = {name: part for name, part in layout.state_shardings().items() if name != "params"}
    return jax.jit(lambda rest: jax.tree.map(jnp.copy, rest), out_shardings=shardings)
