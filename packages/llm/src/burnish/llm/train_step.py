"""One optimizer step, as two compiled functions or as one: forward and backward, then the update.

The state (masters, moments, counters) is donated. The compute-dtype copy of the parameters is not part of it:
a step reads the copy of the step before, which an engine may hold as well, and returns a new one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float32

from burnish.llm.average import moved_average
from burnish.llm.balance import BatchRouting, balance_loss
from burnish.llm.batch import TokenBatch
from burnish.llm.micro_batches import join_rows, split_rows, with_scalars
from burnish.llm.objective import Objective, Statistics, evaluate
from burnish.llm.policy import Policy, policy_of
from burnish.llm.rounding import in_fp32, masters_of
from burnish.llm.row_sharding import on_mesh
from burnish.llm.scoring import columns_of_policy
from burnish.llm.sharding import batch_sharding, replicated
from burnish.llm.train_state import State, StateLayout
from burnish.platform.statistics.kinds import Maximum

MAX_GRAD_NORM = "max_grad_norm"

Hyper = Mapping[str, Any]
"""Hyper-parameters of one update; NaN stands for what the schedule says."""


@dataclass(frozen=True, kw_only=True)
class GradientProgram:
    """All that determines the compiled forward and backward pass beside the shapes; hashable."""

    layout: StateLayout
    objective: Objective
    micro_batch_rows: int
    logprob_chunk: int
    dropout: float = 0.0
    balance_coefficient: float = 0.0
    outputs: tuple[str, ...] = ()

    def policy(self, params: Any, rows: TokenBatch) -> Policy:
        """Return what the model says of rows in training."""
        return policy_of(self.layout.model, params, rows, self.logprob_chunk, dropout=self.dropout)


class ComputeCopies(NamedTuple):
    """The parameters in the compute dtype, cut as the layout's partition says."""

    trainable: Any
    frozen: Any


class Pending(NamedTuple):
    """What waits for the next update: the gradient of everything since the last, in fp32, and its loss."""

    gradients: Any
    loss: Float32[Array, ""]


def accumulate(
    program: GradientProgram, weights: ComputeCopies, pending: Pending | None, batch: TokenBatch
) -> tuple[Pending, Statistics, Mapping[str, Array]]:
    """Add a batch's gradients and loss to what is pending, micro-batch by micro-batch.

    Returns the batch's statistics, those of the objective below `train/` unless their name has a slash, and
    the columns [b t] that `program.outputs` names. A single micro-batch has no loop, and where nothing is
    pending its gradient is the sum: nothing is held beside it.
    """
    with on_mesh(program.layout.mesh):
        return _accumulated(program, weights, pending, batch)


def _accumulated(
    program: GradientProgram, weights: ComputeCopies, pending: Pending | None, batch: TokenBatch
) -> tuple[Pending, Statistics, Mapping[str, Array]]:
    layout, balance = program.layout, _balance_of(program, weights, batch)

    def loss_of(trainable: Any, rows: TokenBatch) -> tuple[Float32[Array, ""], Any]:
        policy = program.policy(layout.partition.merge(trainable, weights.frozen), rows)
        loss, statistics = evaluate(program.objective, policy, rows)
        added, of_balance = balance(policy)
        statistics = {**_measured(policy, rows), **statistics, **of_balance}
        return loss + added, (statistics, columns_of_policy(policy, program.outputs))

    def add(total: Any, micro_batch: TokenBatch) -> tuple[Any, Any]:
        rows = with_scalars(micro_batch, batch)
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights.trainable, rows)
        gradients = in_fp32(gradients)
        return gradients if total is None else jax.tree.map(jnp.add, total, gradients), (loss, *others)

    so_far = None if pending is None else pending.gradients
    if program.micro_batch_rows == batch.tokens.shape[0]:
        gradients, others = add(so_far, batch)
        losses, statistics, columns = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], others)
    else:
        micro_batches = split_rows(batch, program.micro_batch_rows, layout.mesh)
        so_far = _no_gradients(layout) if so_far is None else so_far
        gradients, (losses, statistics, columns) = lax.scan(add, so_far, micro_batches)
    statistics = {name: _reduce(value) for name, value in statistics.items()}
    own = {"tokens": (jnp.sum(batch.trained), 1.0)}
    loss = jnp.sum(losses) if pending is None else pending.loss + jnp.sum(losses)
    return Pending(gradients, loss), _report({**statistics, **own}), join_rows(columns, layout.mesh)


def _balance_of(
    program: GradientProgram, weights: ComputeCopies, batch: TokenBatch
) -> Callable[[Policy], tuple[Any, Statistics]]:
    """Return what gives the balance loss of a micro-batch, times its coefficient, and its statistic.

    Several micro-batches need a forward pass before them, for each has to know of them all.
    """
    coefficient, num_rows = program.balance_coefficient, batch.tokens.shape[0]
    if coefficient == 0:
        return lambda _: (0.0, {})
    num_tokens = jnp.sum(batch.segment_ids > 0).astype(jnp.float32)
    whole = None
    if program.micro_batch_rows < num_rows:
        params = program.layout.partition.merge(*weights)
        micro_batches = split_rows(batch, program.micro_batch_rows, program.layout.mesh)

        def counts_of(rows: TokenBatch) -> Array:
            return program.policy(params, with_scalars(rows, batch)).routed().counts

        whole = BatchRouting(jnp.sum(lax.map(counts_of, micro_batches), axis=0), num_tokens)

    def balance(policy: Policy) -> tuple[Any, Statistics]:
        sums = policy.routed()
        loss = balance_loss(sums, whole or BatchRouting(sums.counts, num_tokens))
        return coefficient * loss, {"balance_loss": (loss, program.micro_batch_rows / num_rows)}

    return balance


def update(
    layout: StateLayout, state: State, pending: Pending, given: Hyper
) -> tuple[State, Any, Statistics]:
    """Apply what is pending, or nothing when loss or gradient is not finite; return the new compute copy."""
    optimizer = layout.optimize()
    num_updates = state["step"] - state["skipped"]
    hyper = {
        name: jnp.where(jnp.isnan(given[name]), scheduled, given[name])
        for name, scheduled in optimizer.hyper(num_updates).items()
    }
    grad_norm = optax.tree.norm(pending.gradients)
    is_finite = jnp.isfinite(pending.loss) & jnp.isfinite(grad_norm)
    scale = 1.0 / jnp.maximum(grad_norm / given[MAX_GRAD_NORM], 1.0)
    clipped = jax.tree.map(lambda gradient: gradient * scale, pending.gradients)
    transformation = optimizer.transformation(hyper)
    masters = in_fp32(state["params"])
    updates, opt_state = transformation.update(clipped, state["opt_state"], masters)
    params = masters_of(optax.apply_updates(masters, updates), state["params"], state["step"])
    skipped = jnp.where(is_finite, 0, 1)
    next_state = {
        "params": _select(is_finite, params, state["params"]),
        "opt_state": _select(is_finite, opt_state, state["opt_state"]),
        "step": state["step"] + 1,
        "skipped": state["skipped"] + skipped,
    }
    if layout.ema_decay:
        average = moved_average(state["average"], params, num_updates + 1, layout.ema_decay)
        next_state["average"] = _select(is_finite, average, state["average"])
    own = {"loss": pending.loss, "grad_norm": grad_norm, "skipped": skipped}
    own |= {name: hyper[name] for name in ("learning_rate",) if name in hyper}
    statistics = _report({name: (value, 1.0) for name, value in own.items()})
    return next_state, layout.compute_copy(next_state["params"]), statistics


def train_step(
    program: GradientProgram, state: State, weights: ComputeCopies, batch: TokenBatch, given: Hyper
) -> tuple[State, Any, Statistics, Mapping[str, Array]]:
    """Make one optimizer step on the whole batch: `accumulate`, then `update`, bit for bit."""
    pending, statistics, columns = accumulate(program, weights, None, batch)
    # Fused over this line, sums could be rounded otherwise than in two functions.
    pending = lax.optimization_barrier(pending)
    state, trainable, of_update = update(program.layout, state, pending, given)
    return state, trainable, {**statistics, **of_update}, columns


@functools.cache
def compiled_step(program: GradientProgram) -> Callable[..., Any]:
    """Return the jitted `train_step`; the state is donated.

    Stages whose programs are equal share one function, and so one compilation per batch shape.
    """
    layout = program.layout
    shardings, everywhere = layout.state_shardings(), replicated(layout.mesh)
    return jax.jit(
        functools.partial(train_step, program),
        donate_argnums=0,
        out_shardings=(shardings, shardings["params"], everywhere, batch_sharding(layout.mesh)),
    )


@functools.cache
def compiled_accumulate(program: GradientProgram) -> Callable[..., Any]:
    """Return the jitted `accumulate`; what is pending is donated. Something and nothing are two programs."""
    layout = program.layout
    everywhere = replicated(layout.mesh)
    pending = Pending._make([layout.param_shardings()[0], everywhere])
    return jax.jit(
        functools.partial(accumulate, program),
        donate_argnums=1,
        out_shardings=(pending, everywhere, batch_sharding(layout.mesh)),
    )


@functools.cache
def compiled_update(layout: StateLayout) -> Callable[..., Any]:
    """Return the jitted `update`; the state is donated."""
    shardings = layout.state_shardings()
    return jax.jit(
        functools.partial(update, layout),
        donate_argnums=0,
        out_shardings=(shardings, shardings["params"], replicated(layout.mesh)),
    )


def hyper_names(layout: StateLayout) -> list[str]:
    """Return the names of the hyper-parameters that an update is given."""
    return [*layout.optimize().names(), MAX_GRAD_NORM]


def _no_gradients(layout: StateLayout) -> Any:
    """Return zeros like the gradient, where it will lie."""
    trainable, _ = layout.abstract_params()
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), trainable)
    return lax.with_sharding_constraint(zeros, layout.param_shardings()[0])


def _measured(policy: Policy, batch: TokenBatch) -> Statistics:
    """Return the entropy at the trained tokens, where the objective has the predictions made anyhow."""
    if not policy.has_predicted:
        return {}
    trained = batch.trained
    entropy = jnp.where(trained > 0, lax.stop_gradient(policy.entropy()), 0)
    return {"entropy": (jnp.sum(entropy), jnp.sum(trained))}


def _select(is_finite: Bool[Array, ""], updated: Any, kept: Any) -> Any:
    """Take the updated tree when it is finite; the dtype stays, or the next step would compile again."""
    return jax.tree.map(lambda new, old: jnp.where(is_finite, new.astype(old.dtype), old), updated, kept)


def _reduce(statistic: Any) -> Any:
    """Put the micro-batches' statistics of one name together, by its kind."""
    if isinstance(statistic, Maximum):
        return Maximum(jnp.max(statistic.value, axis=0))
    total, count = statistic
    return jnp.sum(total, axis=0), jnp.sum(count, axis=0)


def _report(statistics: Statistics) -> Statistics:
    def named(name: str) -> str:
        return name if "/" in name else f"train/{name}"

    return {
        named(name): jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), statistic)
        for name, statistic in statistics.items()
    }
