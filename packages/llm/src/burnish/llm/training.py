"""The training backend: owns masters, optimizer state and current weights, and steps them on its mesh."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from burnish.llm.batch import TokenBatch
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import CausalLM
from burnish.llm.objective import Objective, Statistics, cross_entropy
from burnish.llm.sharding import batch_sharding
from burnish.llm.tokenizer import Tokenizer
from burnish.llm.train_step import State, StateLayout, StepProgram, compiled_step, compute_copy, row_shards
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import ConfigError


@runtime_checkable
class TrainingBackend(Protocol):
    """What a loop trains with."""

    @property
    def weight_version(self) -> int:
        """Rises with every change of the weights."""
        ...

    def step(self, batch: TokenBatch, objective: Objective) -> Statistics:
        """Make one optimizer step and return its statistics as (sum, count)."""
        ...

    def weights(self) -> Any:
        """Return the current parameters in the compute dtype."""
        ...

    def load_weights(self, params: Any) -> None:
        """Train on from other parameters."""
        ...

    def save_state(self) -> Snapshot:
        """Return all that a later process needs to continue."""
        ...

    def load_state(self, restored: Restored) -> None:
        """Continue from a saved state."""
        ...


class JaxTrainingBackend:
    """Trains on the devices of one mesh, one compiled call per optimizer step and no wait for its result."""

    def __init__(
        self,
        options: JaxTraining,
        *,
        model: CausalLM,
        params: Any,
        optimizer: Any,
        total_steps: int,
        mesh: Mesh,
        jax_config: JaxConfig,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """Place `params` (a tree of numpy arrays) on the mesh as masters and start with a fresh optimizer.

        `optimizer` is the component; its schedule runs over `total_steps`. The tokenizer is only kept to lie
        beside the weights in a checkpoint.
        """
        self.model = model
        self.weight_version = 0
        self._tokenizer = tokenizer
        self._micro_batch_rows = options.micro_batch_rows
        self._layout = StateLayout(
            model=model,
            optimizer=optimizer,
            total_steps=total_steps,
            param_dtype=jax_config.param_dtype,
            compute_dtype=jax_config.compute_dtype,
            mesh=mesh,
        )
        self._program = StepProgram(
            layout=self._layout,
            objective=cross_entropy,
            micro_batch_rows=1,
            max_grad_norm=options.max_grad_norm,
            logprob_chunk=options.logprob_chunk,
        )
        self._shardings = self._layout.state_shardings()
        masters, self._weights = _adopt(self._layout, params)
        self._state: State = _start(self._layout)(masters)

    def step(self, batch: TokenBatch, objective: Objective) -> Statistics:
        """Make one optimizer step; the statistics are device scalars that nothing has waited for.

        Raises `ConfigError` when the rows do not divide into micro-batches and devices.
        """
        num_rows = batch.tokens.shape[0]
        micro_batch_rows = check_rows(num_rows, self._micro_batch_rows, row_shards(self._layout.mesh))
        program = replace(self._program, objective=objective, micro_batch_rows=micro_batch_rows)
        placed = jax.device_put(batch, batch_sharding(self._layout.mesh))
        self._state, self._weights, statistics = compiled_step(program)(self._state, self._weights, placed)
        self.weight_version += 1
        return statistics

    def weights(self) -> Any:
        """Return the copy in the compute dtype that the next step will read; it is never overwritten."""
        return self._weights

    def load_weights(self, params: Any) -> None:
        """Train on from `params`, a tree of arrays; moments and schedule stay where they are."""
        self._state["params"], self._weights = _adopt(self._layout, params)
        self.weight_version += 1

    def save_state(self) -> Snapshot:
        """Return masters and optimizer; the arrays must be written before the next step donates them."""
        files = {"config.json": json.dumps(self.model.hf_config, indent=2, sort_keys=True).encode()}
        if self._tokenizer is not None:
            files |= self._tokenizer.files()
        return Snapshot(
            trees={"params": self._state["params"], "optimizer": _flatten(self._rest_of(self._state))},
            json={"weight_version": self.weight_version},
            files=files,
        )

    def load_state(self, restored: Restored) -> None:
        """Continue from a saved state, on this mesh or another; the next step is the one that was next."""
        abstract = jax.tree.map(_with_sharding, self._layout.abstract_state(), self._shardings)
        masters = restored.tree("params", abstract["params"])
        rest = self._rest_of(abstract)
        leaves = restored.tree("optimizer", _flatten(rest))
        ordered = [leaves[name] for name in _flatten(rest)]
        placed = _place(jax.tree.unflatten(jax.tree.structure(rest), ordered), self._rest_of(self._shardings))
        masters, self._weights = _adopt(self._layout, masters)
        self._state = {"params": masters, **_copy_of_rest(self._layout)(placed)}
        self.weight_version = int(restored.json["weight_version"])

    @staticmethod
    def _rest_of(state: State) -> State:
        return {name: part for name, part in state.items() if name != "params"}


def check_rows(num_rows: int, micro_batch_rows: int | str, num_shards: int) -> int:
    """Return the rows of a micro-batch, or raise `ConfigError` with the numbers that would divide.

    `num_shards` is dp * fsdp, the devices that the rows of each micro-batch are divided over.
    """
    rows = num_rows if micro_batch_rows == "all" else int(micro_batch_rows)
    if num_rows % num_shards:
        below, above = num_rows // num_shards * num_shards, (num_rows // num_shards + 1) * num_shards
        legal = f"{below} or {above}" if below else f"{above}"
        raise ConfigError(
            f"a batch of {num_rows} rows cannot be divided over jax.mesh.dp * jax.mesh.fsdp = {num_shards} "
            f"devices; {legal} rows could"
        )
    if rows < 1 or num_rows % rows or rows % num_shards:
        legal = ", ".join(str(n) for n in range(num_shards, num_rows + 1, num_shards) if num_rows % n == 0)
        raise ConfigError(
            f"training.micro_batch_rows={micro_batch_rows} cannot divide a batch of {num_rows} rows on "
            f"dp * fsdp = {num_shards} devices; legal values: {legal}, all"
        )
    return rows


def training_footprint(
    layout: StateLayout, *, num_rows: int, length: int, num_columns: int = 1
) -> dict[str, int]:
    """Return the parameter count and the bytes of state, weights and a batch; allocates nothing."""
    state = layout.abstract_state()
    weights = jax.eval_shape(
        functools.partial(compute_copy, compute_dtype=layout.compute_dtype), state["params"]
    )
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state["params"])),
        "state_bytes": _num_bytes(state),
        "weight_bytes": _num_bytes(weights),
        "batch_bytes": num_rows * length * 4 * (3 + num_columns),
    }


def _num_bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@functools.cache
def _start(layout: StateLayout) -> Any:
    return jax.jit(layout.fresh_state, donate_argnums=0, out_shardings=layout.state_shardings())


@functools.cache
def _copies(layout: StateLayout) -> Any:
    shardings = layout.state_shardings()["params"]

    def masters_and_weights(params: Any) -> tuple[Any, Any]:
        return compute_copy(params, layout.param_dtype), compute_copy(params, layout.compute_dtype)

    return jax.jit(masters_and_weights, out_shardings=(shardings, shardings))


def _adopt(layout: StateLayout, params: Any) -> tuple[Any, Any]:
    """Return masters and weights, neither of which shares a buffer with `params` or with the other."""
    return _copies(layout)(_place(params, layout.state_shardings()["params"]))


@functools.cache
def _copy_of_rest(layout: StateLayout) -> Any:
    """Return a jitted copy: what is donated must not share memory with whoever read the checkpoint."""
    shardings = {name: part for name, part in layout.state_shardings().items() if name != "params"}
    return jax.jit(lambda rest: jax.tree.map(jnp.copy, rest), out_shardings=shardings)


def _place(tree: Any, shardings: Any) -> Any:
    arrays = jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else np.asarray(leaf), tree)
    return jax.device_put(arrays, shardings)


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _flatten(tree: Any) -> Mapping[str, Any]:
    """Turn any tree into one level of names: optax's named tuples would not survive every checkpoint."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
