"""One optimizer step as one compiled function: micro-batches, clipping, update, and the next weights.

The state (masters, moments, counters) is donated. The compute-dtype copy of the parameters is not part of it:
a step reads the copy of the step before, which an engine may hold as well, and returns a new one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Float32

from burnish.llm.batch import TokenBatch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.objective import Objective, Policy, Statistics, policy_of, weighted_sum
from burnish.llm.optimizer import ScheduledOptimizer
from burnish.llm.sharding import batch_sharding, parameter_shardings, replicated
from burnish.platform.errors import ConfigError

State = dict[str, Any]
"""`params` (masters), `opt_state`, and two int32 counters: `step`, and `skipped` of those steps."""


@dataclass(frozen=True, kw_only=True)
class StateLayout:
    """All that determines the arrays of a training state and where they lie; hashable."""

    model: CausalLM
    optimizer: Any
    total_steps: int
    param_dtype: str
    compute_dtype: str
    mesh: Mesh

    def transformation(self) -> optax.GradientTransformation | ScheduledOptimizer:
        """Build the optimizer."""
        return self.optimizer.build(total_steps=self.total_steps)

    def abstract_state(self) -> State:
        """Return the shapes and dtypes of the state without allocating any of it."""
        return jax.eval_shape(self.fresh_state, self.model.abstract(jnp.dtype(self.param_dtype)))

    def fresh_state(self, params: Any) -> State:
        """Return the state before the first step, with `params` as masters."""
        counter = jnp.zeros((), jnp.int32)
        opt_state = self.transformation().init(params)
        return {"params": params, "opt_state": opt_state, "step": counter, "skipped": counter}

    def state_shardings(self) -> State:
        """Return the sharding of each array of the state; moments lie as the parameters they belong to."""
        params = parameter_shardings(self.model, self.mesh)
        everywhere = replicated(self.mesh)
        opt_state = optax.tree_utils.tree_map_params(
            self.transformation(),
            lambda _, sharding: sharding,
            self.abstract_state()["opt_state"],
            params,
            transform_non_params=lambda _: everywhere,
        )
        return {"params": params, "opt_state": opt_state, "step": everywhere, "skipped": everywhere}


@dataclass(frozen=True, kw_only=True)
class StepProgram:
    """All that determines the compiled step beside the shapes of its arguments; hashable."""

    layout: StateLayout
    objective: Objective
    micro_batch_rows: int
    max_grad_norm: float
    logprob_chunk: int


@functools.cache
def compiled_step(program: StepProgram) -> Callable[[State, Any, TokenBatch], tuple[State, Any, Statistics]]:
    """Return the jitted step (state, weights, batch) -> (state, weights, statistics); `state` is donated.

    Stages whose programs are equal share one function, and so one compilation per batch shape.
    """
    shardings = program.layout.state_shardings()
    return jax.jit(
        functools.partial(train_step, program),
        donate_argnums=0,
        out_shardings=(shardings, shardings["params"], replicated(program.layout.mesh)),
    )


def train_step(
    program: StepProgram, state: State, weights: Any, batch: TokenBatch
) -> tuple[State, Any, Statistics]:
    """Make one optimizer step on the whole batch, or none when loss or gradient is not finite.

    Statistics are (sum, count), those of the objective below `train/` unless their name has a slash.
    """
    layout = program.layout
    transformation = layout.transformation()
    gradients, loss, statistics = accumulate(program, weights, batch)
    grad_norm = optax.tree.norm(gradients)
    is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    scale = 1.0 / jnp.maximum(grad_norm / program.max_grad_norm, 1.0)
    clipped = jax.tree.map(lambda gradient: gradient * scale, gradients)
    updates, opt_state = transformation.update(clipped, state["opt_state"], state["params"])
    params = optax.apply_updates(state["params"], updates)
    skipped = jnp.where(is_finite, 0, 1)
    num_updates = state["step"] - state["skipped"]
    next_state = {
        "params": _select(is_finite, params, state["params"]),
        "opt_state": _select(is_finite, opt_state, state["opt_state"]),
        "step": state["step"] + 1,
        "skipped": state["skipped"] + skipped,
    }
    own = {"loss": loss, "grad_norm": grad_norm, "tokens": jnp.sum(batch.trained), "skipped": skipped}
    if isinstance(transformation, ScheduledOptimizer):
        own["learning_rate"] = transformation.learning_rate(num_updates)
    statistics = {**statistics, **{name: (value, 1.0) for name, value in own.items()}}
    return next_state, compute_copy(next_state["params"], layout.compute_dtype), _report(statistics)


def accumulate(
    program: StepProgram, weights: Any, batch: TokenBatch
) -> tuple[Any, Float32[Array, ""], Statistics]:
    """Return gradients in fp32, loss and statistics of the whole batch, summed over its micro-batches."""

    def loss_of(weights: Any, rows: TokenBatch) -> tuple[Float32[Array, ""], Statistics]:
        policy = policy_of(program.layout.model, weights, rows, program.logprob_chunk)
        values, statistics = _call(program.objective, policy, rows)
        return weighted_sum(values, rows), statistics

    def add(total: Any, rows: TokenBatch) -> tuple[Any, Any]:
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, rows)
        total = jax.tree.map(lambda so_far, gradient: so_far + gradient.astype(jnp.float32), total, gradients)
        return total, (loss, statistics)

    zeros = jax.tree.map(lambda weight: jnp.zeros(weight.shape, jnp.float32), weights)
    zeros = lax.with_sharding_constraint(
        zeros, parameter_shardings(program.layout.model, program.layout.mesh)
    )
    micro_batches = split_rows(batch, program.micro_batch_rows, program.layout.mesh)
    gradients, per_micro_batch = lax.scan(add, zeros, micro_batches)
    loss, statistics = jax.tree.map(lambda values: jnp.sum(values, axis=0), per_micro_batch)
    return gradients, loss, statistics


def split_rows(batch: TokenBatch, micro_batch_rows: int, mesh: Mesh) -> TokenBatch:
    """Cut [b t] into [m, micro_batch_rows, t]; no row leaves its device and neighbors stay together."""
    num_shards = row_shards(mesh)
    sharding = NamedSharding(mesh, PartitionSpec(None, *batch_sharding(mesh).spec))

    def split(array: Array) -> Array:
        num_rows, length = array.shape
        num_micro_batches = num_rows // micro_batch_rows
        local = array.reshape(num_shards, num_micro_batches, micro_batch_rows // num_shards, length)
        micro_batches = jnp.swapaxes(local, 0, 1).reshape(num_micro_batches, micro_batch_rows, length)
        return lax.with_sharding_constraint(micro_batches, sharding)

    return jax.tree.map(split, batch)


def row_shards(mesh: Mesh) -> int:
    """Return the number of devices that the rows of a batch are divided over."""
    return math.prod(mesh.shape[axis] for axis in batch_sharding(mesh).spec[0])


def compute_copy(params: Any, compute_dtype: str) -> Any:
    """Return the parameters in the compute dtype, in buffers of their own also when the dtypes are equal."""
    return jax.tree.map(lambda leaf: jnp.copy(leaf).astype(compute_dtype), params)


def _call(objective: Objective, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, ...], Statistics]:
    """Trace the objective; a column it reads and this stage does not fill is the config's mistake."""
    try:
        return objective(policy, batch)
    except KeyError as error:
        column = error.args[0] if error.args else None
        if not isinstance(column, str) or column in batch.columns:
            raise
        name = objective.__name__ if isinstance(objective, FunctionType) else repr(objective)
        raise ConfigError(
            f"objective: {name} needs the batch column '{column}', and this stage fills only "
            f"{', '.join(sorted(batch.columns))}; choose an objective of this stage, such as its default"
        ) from error


def _select(is_finite: Bool[Array, ""], updated: Any, kept: Any) -> Any:
    """Take the updated tree when it is finite; the dtype stays, or the next step would compile again."""
    return jax.tree.map(lambda new, old: jnp.where(is_finite, new.astype(old.dtype), old), updated, kept)


def _report(statistics: Statistics) -> Statistics:
    def named(name: str) -> str:
        return name if "/" in name else f"train/{name}"

    return {
        named(name): (jnp.asarray(total, jnp.float32), jnp.asarray(count, jnp.float32))
        for name, (total, count) in statistics.items()
    }
