"""What a training backend is: the component, what it may be built from, and what a loop trains with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from burnish.llm.bundle import Load
from burnish.llm.model_source import ModelSource
from burnish.llm.versioned_weights import Weights
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig, MeshConfig

if TYPE_CHECKING:
    import jax
    from jax.sharding import Mesh

    from burnish.llm.batch import TokenBatch
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.objective import Objective, Statistics
    from burnish.llm.optimizer import OptimizerComponent
    from burnish.llm.tokenizer import Tokenizer
    from burnish.llm.train_state import StateLayout
    from burnish.platform.device.randomness import KeyWords


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """What a training backend may be built from."""

    model: CausalLM
    load: Load
    """Returns the parameters to start from, as and where they are asked for."""

    optimizer: OptimizerComponent
    total_steps: int
    """Optimizer steps of the whole stage."""

    mesh: Mesh
    jax: JaxConfig = field(default_factory=JaxConfig)
    """Number formats of the run."""

    tokenizer: Tokenizer | None = None
    """Lies beside the weights in a checkpoint and an export."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""

    seed: int = 0
    """The run's seed, for parameters that are made beside those that are loaded."""

    origin: ModelSource | None = None
    """The files of the model, for checkpoints that name it; None where it is not all of what they hold."""


class Computed(NamedTuple):
    """What a verb of a backend returns at once: arrays that are still being computed.

    Whoever reads a number of it waits for it. The next verb need not: it is given what it depends on.
    """

    statistics: Statistics
    columns: Mapping[str, Any]
    """The outputs that were asked for, [b t] each."""

    def done(self) -> bool:
        """Say whether all of it is there; waits for nothing."""
        import jax

        arrays: list[Any] = [leaf for leaf in jax.tree.leaves(self) if isinstance(leaf, jax.Array)]
        return all(array.is_ready() for array in arrays)

    def result(self) -> Computed:
        """Wait, and return the same in numpy; an error of the device is raised here."""
        import jax

        return jax.device_get(self)


class TrainingComponent(Protocol):
    """The options of a backend, and what can be said of it before it is built."""

    def check(self, num_rows: int, mesh: MeshConfig, model: Callable[[], CausalLM] | None) -> None:
        """Raise ConfigError where batches of `num_rows` rows cannot be trained on this mesh, or not so.

        `model` finds the model and its shapes for options that speak of them; None where it is not there yet.
        """
        ...

    def plan(
        self, context: TrainingContext, batch: TokenBatch, objective: Objective
    ) -> Mapping[str, int | float | str]:
        """Return the arithmetic of a batch and the bytes of the state for `--dry-run`; allocates nothing.

        `batch` is one of an update's, or `TokenBatch.like` one: its shapes alone are read.
        """
        ...

    def build(self, context: TrainingContext) -> TrainingBackend:
        """Return the backend, with a fresh optimizer."""
        ...


@runtime_checkable
class Compiles(Protocol):
    """A training component that can compile its step before there is anything to train."""

    def layout(self, context: TrainingContext) -> StateLayout:
        """Return what the training state is made of, and how it lies."""
        ...

    def compiled(
        self, context: TrainingContext, batch: TokenBatch, objective: Objective
    ) -> jax.stages.Compiled:
        """Return the program of an update, compiled for the devices of the context."""
        ...


@runtime_checkable
class TrainingBackend(Protocol):
    """What a loop trains with."""

    @property
    def weight_version(self) -> int:
        """Rises with every change of the weights."""
        ...

    def score(self, batch: TokenBatch, outputs: Sequence[str]) -> Mapping[str, Any]:
        """Return what the current weights say of each token, [b t] per output; trains nothing."""
        ...

    def forward_backward(
        self,
        batch: TokenBatch,
        objective: Objective,
        outputs: Sequence[str] = (),
        *,
        key_words: KeyWords | None = None,
    ) -> Computed:
        """Add a batch's gradient to what the next `optim_step` applies; `key_words` name its noise.

        Like each of these verbs it returns before anything is computed.
        """
        ...

    def optim_step(self, hyper: Mapping[str, float] | None = None) -> Computed:
        """Apply the gradients since the last call; `hyper` replaces what the schedule says, by name."""
        ...

    def step(
        self,
        batch: TokenBatch,
        objective: Objective,
        outputs: Sequence[str] = (),
        *,
        hyper: Mapping[str, float] | None = None,
        key_words: KeyWords | None = None,
    ) -> Computed:
        """Do both in one program, equal to them bit for bit.

        Among its statistics are `train/tokens`, the trained tokens, and `train/skipped`, 1 where the update
        was not finite and nothing has changed; those of the objective keep their names, below `train/` where
        they have no slash.
        """
        ...

    def weights(self) -> Weights:
        """Return the current parameters in the compute dtype, trainable and frozen ones together."""
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


@runtime_checkable
class Exports(Protocol):
    """A backend that knows its model better than the compute dtype tells it."""

    def exported(self) -> Any:
        """Return the model's parameters in numpy; what writes them rounds them, once."""
        ...


@runtime_checkable
class WritesUpdates(Protocol):
    """A backend that may train something beside a model, which is worth keeping by itself."""

    def write_updates(self, directory: Path) -> None:
        """Write it into a new directory, or nothing where the model itself is trained."""
        ...


@runtime_checkable
class Averages(Protocol):
    """A backend that may keep an average of its weights over updates."""

    def averaged(self) -> Weights | None:
        """Return it; None where none is kept."""
        ...


def judged_weights(training: TrainingBackend) -> Weights:
    """Return what a stage is evaluated by and hands over: the average of its weights where one is kept."""
    average = training.averaged() if isinstance(training, Averages) else None
    return training.weights() if average is None else average
