"""The training backend in jax: owns masters, optimizer state and weights, and steps them on its mesh."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from burnish.llm.batch import TokenBatch
from burnish.llm.export import write_weights
from burnish.llm.micro_batches import place
from burnish.llm.objective import Objective, as_trained
from burnish.llm.scoring import Scorer
from burnish.llm.sharding import likeness_of
from burnish.llm.step_settings import StepSettings
from burnish.llm.train_state import (
    State,
    StateLayout,
    adopt,
    average_of,
    copy_of_rest,
    load_params,
    of_names,
    start,
    weights_of,
)
from burnish.llm.train_step import (
    MAX_GRAD_NORM,
    ComputeCopies,
    GradientProgram,
    Hyper,
    Pending,
    compiled_accumulate,
    compiled_step,
    compiled_update,
    hyper_names,
)
from burnish.llm.trained_form import TrainedForm, Whole
from burnish.llm.training import Computed, TrainingContext
from burnish.llm.versioned_weights import Weights
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.device.randomness import KeyWords
from burnish.platform.errors import ConfigError


class JaxTrainingBackend:
    """Trains on the devices of one mesh, one compiled call per optimizer step and no wait for its result."""

    def __init__(
        self,
        context: TrainingContext,
        *,
        layout: StateLayout,
        settings: StepSettings,
        max_grad_norm: float,
        form: TrainedForm | None = None,
    ) -> None:
        """Place the parameters on the mesh, those that are trained as masters, with a fresh optimizer.

        `layout` is of the model whose parameters are trained; `form` says how they make that of the context,
        None where they are its own.
        """
        self.weight_version = 0
        self._context = context
        self._settings = settings
        self._form = form or Whole(context.model)
        self._layout = layout
        self._scheduled = {**dict.fromkeys(hyper_names(self._layout), math.nan), MAX_GRAD_NORM: max_grad_norm}
        self._shardings = self._layout.state_shardings()
        self._pending: Pending | None = None
        self._is_moved = False
        self._whole: tuple[ComputeCopies, Any] | None = None
        self._written: set[Path] = set()
        masters, *weights = load_params(self._layout, functools.partial(self._form.load, context.load))
        self._weights = ComputeCopies(*weights)
        self._state: State = start(self._layout)(masters)

    @property
    def state_version(self) -> tuple[int, bool]:
        """Another one once `save_state` would return something else."""
        return self.weight_version, self._pending is None

    def score(self, batch: TokenBatch, outputs: Sequence[str]) -> Mapping[str, Any]:
        """Return what the current weights say of each token, [b t] per output of `OUTPUTS`."""
        scorer = Scorer(
            model=self._layout.model,
            mesh=self._context.mesh,
            micro_batch_rows=self._settings.micro_batch_rows,
            logprob_chunk=self._settings.logprob_chunk,
        )
        return scorer(self._layout.whole(*self._weights), batch, outputs)

    def forward_backward(
        self,
        batch: TokenBatch,
        objective: Objective,
        outputs: Sequence[str] = (),
        *,
        key_words: KeyWords | None = None,
    ) -> Computed:
        """Add a batch's gradient to what the next `optim_step` applies."""
        program = self._program(batch, objective, outputs)
        placed = self._place(batch, objective, key_words)
        self._pending, *computed = compiled_accumulate(program)(self._weights, self._pending, placed)
        return Computed(*computed)

    def optim_step(self, hyper: Mapping[str, float] | None = None) -> Computed:
        """Apply the gradients since the last call; RuntimeError where there are none."""
        if self._pending is None:
            raise RuntimeError("optim_step has no gradient to apply: call forward_backward before it")
        pending, self._pending = self._pending, None
        self._state, trainable, statistics = compiled_update(self._layout)(
            self._state, pending, _given(self._scheduled, hyper)
        )
        self._change(trainable)
        return Computed(statistics, {})

    def step(
        self,
        batch: TokenBatch,
        objective: Objective,
        outputs: Sequence[str] = (),
        *,
        hyper: Mapping[str, float] | None = None,
        key_words: KeyWords | None = None,
    ) -> Computed:
        """Make one optimizer step; statistics and columns are device arrays that nothing has waited for.

        Raises `ConfigError` when the rows do not divide into micro-batches and devices.
        """
        program = self._program(batch, objective, outputs)
        placed = self._place(batch, objective, key_words)
        self._state, trainable, *computed = compiled_step(program)(
            self._state, self._weights, placed, _given(self._scheduled, hyper)
        )
        self._change(trainable)
        return Computed(*computed)

    def weights(self) -> Weights:
        """Return the model in the compute dtype as the next step will read it; it is never overwritten."""
        if self._whole is None or self._whole[0] is not self._weights:
            made = self._form.finished(self._layout.whole(*self._weights), self._exact)
            self._whole = (self._weights, made)
        return Weights(self.weight_version, self._whole[1], self._write, self._written)

    def averaged(self) -> Weights | None:
        """Return the average over updates as the model in the compute dtype; None where none is kept."""
        if not self._layout.ema_decay:
            return None
        copies = weights_of(self._layout)(self._state["average"])
        made = self._form.finished(self._layout.whole(copies, self._weights.frozen), self._judged)
        return Weights(self.weight_version, made, self._write, self._written, name="average")

    def load_weights(self, params: Any) -> None:
        """Train on from `params`, a tree of arrays; moments and schedule stay where they are.

        A gradient of the weights before goes with them, and an average begins anew with these.
        """
        masters = self._adopt(self._form.load(lambda _: params, self._layout.likeness()))
        self._state["params"] = masters
        if self._layout.ema_decay:
            self._state["average"] = average_of(self._layout)(masters)
        self._is_moved = True
        self._pending = None
        self.weight_version += 1

    def save_state(self) -> Snapshot:
        """Return masters and optimizer; the arrays must be written before the next step donates them.

        RuntimeError between `forward_backward` and `optim_step`: a gradient is no part of a checkpoint.
        """
        if self._pending is not None:
            raise RuntimeError("save_state between forward_backward and optim_step would lose the gradient")
        context = self._context
        files = {"config.json": json.dumps(context.model.hf_config, indent=2, sort_keys=True).encode()}
        files |= self._form.files(self._is_moved)
        if context.tokenizer is not None:
            files |= context.tokenizer.files()
        saved = _as_masters(self._form, self._layout, self._exact())
        return Snapshot(
            trees={**saved, "optimizer": _flatten(_rest_of(self._state))},
            json={"weight_version": self.weight_version},
            files=files,
        )

    def load_state(self, restored: Restored) -> None:
        """Continue from a saved state, on this mesh or another; the next step is the one that was next."""
        layout = self._layout
        abstract = jax.tree.map(_with_sharding, layout.abstract_state(), self._shardings)
        if self._is_moved:
            self._adopt(self._form.load(self._context.load, layout.likeness()))
        params = self._form.restored(restored, likeness_of(layout.model, layout.param_dtype, layout.mesh))
        rest = _rest_of(abstract)
        leaves = restored.tree("optimizer", _flatten(rest))
        ordered = [leaves[name] for name in _flatten(rest)]
        placed = _put(jax.tree.unflatten(jax.tree.structure(rest), ordered), _rest_of(self._shardings))
        masters = self._adopt(params)
        self._state = {"params": masters, **copy_of_rest(layout)(placed)}
        self._pending, self._is_moved = None, False
        self._written.clear()
        self.weight_version = int(restored.json["weight_version"])

    def exported(self) -> Any:
        """Return the model in numpy, made of the masters, or of their average where one is kept."""
        return self._form.exported(self._judged())

    def write_updates(self, directory: Path) -> None:
        """Write what is trained beside the model, if the model is not trained itself."""
        self._form.write(directory, self._judged())

    def _exact(self) -> Any:
        """Return all parameters, those that are trained as masters, which the next step donates."""
        return self._layout.whole(self._state["params"], self._weights.frozen)

    def _judged(self) -> Any:
        """Return all parameters, in place of masters their average where one is kept."""
        return self._layout.whole(self._state.get("average", self._state["params"]), self._weights.frozen)

    def _adopt(self, params: Any) -> Any:
        """Take parameters as weights and return the masters; nothing shares a buffer with `params`.

        What they lack at the top of the tree stays, where it is frozen.
        """
        parts = self._layout.partition.split(params)
        shardings = [of_names(part, params) for part in self._layout.param_shardings()]
        placed = [_put(*pair) for pair in zip(parts, shardings, strict=True)]
        masters, trainable, frozen = adopt(self._layout, tuple(params))(*placed)
        self._weights = ComputeCopies(trainable, {**self._weights.frozen, **frozen})
        return masters

    def _change(self, trainable: Any) -> None:
        self._weights = self._weights._replace(trainable=trainable)
        self.weight_version += 1

    def _program(self, batch: TokenBatch, objective: Objective, outputs: Sequence[str]) -> GradientProgram:
        return self._settings.program(self._layout, objective, batch.tokens.shape[0], tuple(outputs))

    def _place(self, batch: TokenBatch, objective: Objective, key_words: KeyWords | None) -> TokenBatch:
        return place(as_trained(batch, objective, key_words), self._layout.mesh)

    def _write(self, directory: Path, tree: Any) -> Path:
        context = self._context
        if context.tokenizer is None:
            raise ConfigError("engine: weights are written out with a tokenizer, and training was given none")
        return write_weights(directory, tree, context.model, context.tokenizer, context.jax.compute_dtype)


def _given(scheduled: Mapping[str, float], hyper: Mapping[str, float] | None) -> Hyper:
    unknown = sorted((hyper or {}).keys() - scheduled.keys())
    if unknown:
        raise ConfigError(
            f"hyper: {', '.join(unknown)} cannot be moved here; legal are {', '.join(scheduled)}"
        )
    return {name: np.float32(value) for name, value in {**scheduled, **(hyper or {})}.items()}


def _as_masters(form: TrainedForm, layout: StateLayout, exact: Any) -> dict[str, Any]:
    """Return the trees of a checkpoint; what is frozen is in the masters' dtype too, which is exact."""
    like = form.saved(layout.model.abstract(layout.param_dtype))
    return jax.tree.map(lambda leaf, wanted: leaf.astype(wanted.dtype), dict(form.saved(exact)), dict(like))


def _rest_of(state: State) -> State:
    return {name: part for name, part in state.items() if name != "params"}


def _put(tree: Any, shardings: Any) -> Any:
    arrays = jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else np.asarray(leaf), tree)
    return jax.device_put(arrays, shardings)


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _flatten(tree: Any) -> Mapping[str, Any]:
    """Turn any tree into one level of names: optax's named tuples would not survive every checkpoint."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
