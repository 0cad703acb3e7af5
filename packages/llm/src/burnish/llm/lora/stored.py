"""What a checkpoint says of the updates in it: their form, and the model that they are of."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from burnish.llm.families.protocol import CausalLM
from burnish.llm.lora.low_rank import LowRank
from burnish.llm.lora.model import AdaptedLM
from burnish.platform.errors import CheckpointError

BASE = "base"
"""The fact in the manifest of a directory of peft that tells what its updates are of."""


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """The model that updates are of, where it is not in the same checkpoint."""

    name: str
    """The absolute path of a directory, or a name on the hub."""
    revision: str
    sha256: str
    """Of its weights and its `config.json`."""


@dataclass(frozen=True, kw_only=True)
class StoredUpdates:
    """The form of updates, and their base; None where it lies beside them."""

    low_rank: LowRank
    targets: tuple[tuple[str, ...], ...]
    base: BaseModel | None

    def content(self) -> bytes:
        """Return the file that says so."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    def of(self, model: CausalLM) -> AdaptedLM:
        """Return the model with updates of this form."""
        return AdaptedLM(model, self.low_rank, self.targets)


def read_updates(content: Mapping[str, Any]) -> StoredUpdates:
    """Return what a file says whose checkpoint is verified."""
    base = content["base"]
    return StoredUpdates(
        low_rank=LowRank(**content["low_rank"]),
        targets=tuple(map(tuple, content["targets"])),
        base=None if base is None else BaseModel(**base),
    )


def require_form(stored: StoredUpdates, model: AdaptedLM) -> None:
    """Raise CheckpointError where updates of one form would be taken for those of another."""
    pairs = zip(asdict(stored.low_rank).items(), asdict(model.low_rank).values(), strict=True)
    for option, saved, given in ((*named, given) for named, given in pairs):
        if saved != given:
            raise CheckpointError(
                f"training.{option}={given}: the checkpoint's updates are of {option}={saved}; set that one "
                "again"
            )
    if stored.targets != model.targets:
        saved = ", ".join(map("/".join, stored.targets))
        raise CheckpointError(
            f"training.targets: the checkpoint's updates are of {saved}; set targets that match these alone"
        )


def require_base(named: BaseModel | None, found: BaseModel) -> None:
    """Raise CheckpointError where updates of `named` would be put beside the matrices of another model."""
    if named is None or named.sha256 != found.sha256:
        told = "the model beside them" if named is None else f"the model that lay in {named.name}"
        raise CheckpointError(
            f"the updates are of {told}, and {found.name} holds another one: put that one back"
        )
