"""In which parameters a model is trained: its own, or others that it is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax

from burnish.llm.bundle import Load
from burnish.llm.families.protocol import CausalLM
from burnish.platform.checkpoint.snapshot import Restored


class TrainedForm(Protocol):
    """How the parameters that are trained, and those of the model that comes and goes, become each other."""

    @property
    def model(self) -> CausalLM:
        """The model whose parameters are trained."""
        ...

    def load(self, load: Load, like: Any) -> Any:
        """Return what is trained, like `like`, of the model that `load` gives; it computes the same."""
        ...

    def finished(self, params: Any, exact: Callable[[], Any]) -> Any:
        """Return the parameters of the model that goes to an engine, in the dtype of these.

        `params` are those that are computed with; `exact` gives them with the masters of what is trained.
        """
        ...

    def exported(self, exact: Any) -> Any:
        """Return the parameters of the model that is written, in numpy and no coarser than the masters."""
        ...

    def saved(self, params: Any) -> Mapping[str, Any]:
        """Return the trees of a checkpoint by name, made of the leaves given, or of their likenesses."""
        ...

    def restored(self, checkpoint: Restored, like: Any) -> Any:
        """Return what of `like` was saved, at the top of the tree; what was not is as it came."""
        ...

    def files(self, is_moved: bool) -> Mapping[str, bytes]:
        """Return the files of a checkpoint that say what its trees are.

        `is_moved` says that other weights have taken the place of those that were loaded; ConfigError where
        no checkpoint could say which.
        """
        ...

    def write(self, directory: Path, exact: Any) -> None:
        """Write what is trained beside the model into a new directory, as others read it, if anything is."""
        ...


@dataclass(frozen=True)
class Whole:
    """The model is trained as it is."""

    model: CausalLM

    def load(self, load: Load, like: Any) -> Any:
        """Return the parameters of the model."""
        return load(like)

    def finished(self, params: Any, exact: Callable[[], Any]) -> Any:
        """Return `params`."""
        del exact
        return params

    def exported(self, exact: Any) -> Any:
        """Return the masters."""
        return jax.device_get(exact)

    def saved(self, params: Any) -> Mapping[str, Any]:
        """Return the parameters as `params`."""
        return {"params": params}

    def restored(self, checkpoint: Restored, like: Any) -> Any:
        """Return the tree `params`."""
        return checkpoint.tree("params", like)

    def files(self, is_moved: bool) -> Mapping[str, bytes]:
        """Return none."""
        del is_moved
        return {}

    def write(self, directory: Path, exact: Any) -> None:
        """Write nothing."""
