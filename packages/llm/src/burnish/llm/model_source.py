"""Where a model's files are: a directory of some kind, an earlier run, or a download from the hub."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from burnish.llm.safetensors_files import INDEX, WEIGHTS
from burnish.platform.checkpoint.manifest import MANIFEST, Verified, verify
from burnish.platform.errors import CheckpointError, ConfigError

HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
_EXPORT = re.compile(r"/stages/\d+-[^/]+/export$")
"""What a stage has written is checked, whether its manifest is there or not."""

CONFIG = "config.json"
"""Says what model it is."""

UPDATES = "adapters.json"
"""Says of a checkpoint that it holds low-rank updates, and what they are of."""

PEFT_CONFIG = "adapter_config.json"
"""Says the same of a directory of peft."""

_IDENTIFYING = (CONFIG, "*.safetensors", UPDATES, PEFT_CONFIG, "params/**/*", "adapters/**/*")
"""What makes a model the one that it is, wherever it lies."""

DOWNLOADED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


@dataclass(frozen=True)
class ModelSource:
    """A directory with `config.json` and parameters in one of two forms."""

    directory: Path
    is_checkpoint: bool
    """Whether the parameters are trees of a checkpoint and not safetensors."""

    verified: Verified | None = None
    """The directory checked against its manifest, with what that records; None where there is no manifest."""

    name: str = ""
    """What finds it again: an absolute path, or its name on the hub."""

    revision: str = "main"
    """Branch, tag or commit on the hub."""

    base: ModelSource | None = None
    """The model that updates here are of, where nothing in their files tells it from another one."""

    def sha256(self) -> str:
        """Return what tells its weights and its configuration from others'; reads all of them."""
        digest = hashlib.sha256()
        for path in sorted(path for pattern in _IDENTIFYING for path in self.directory.glob(pattern)):
            if path.is_file():
                digest.update(f"{path.relative_to(self.directory).as_posix()}\0".encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        if self.base is not None:
            digest.update(self.base.sha256().encode())
        return digest.hexdigest()


def locate(name_or_path: str, revision: str = "main") -> ModelSource:
    """Return the files a `model.name_or_path` stands for, checked against a manifest where there is one."""
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _in_directory(path, name_or_path)
    if path.exists() or not HUB_NAME.fullmatch(name_or_path):
        raise ConfigError(
            f"model.name_or_path={name_or_path!r} is no directory: give a model directory, an export, a "
            "checkpoint step, a run directory, or a hub name such as Qwen/Qwen2.5-0.5B"
        )
    return ModelSource(
        _download(name_or_path, revision), is_checkpoint=False, name=name_or_path, revision=revision
    )


def is_of_peft(directory: Path) -> bool:
    """Say whether a directory holds updates of peft and no model, though it may have a `config.json`."""
    of_model = (WEIGHTS, INDEX, "params", UPDATES)
    return (directory / PEFT_CONFIG).is_file() and not any((directory / name).exists() for name in of_model)


def _in_directory(path: Path, name: str) -> ModelSource:
    if is_of_peft(path):
        verified = verify(path) if (path / MANIFEST).is_file() else None
        return ModelSource(path, is_checkpoint=False, verified=verified, name=str(path.resolve()))
    if (path / CONFIG).is_file():
        is_checkpoint = (path / "params").is_dir() or (path / UPDATES).is_file()
        is_checked = is_checkpoint or _EXPORT.search(path.resolve().as_posix()) or (path / MANIFEST).is_file()
        verified = verify(path) if is_checked else None
        return ModelSource(path, is_checkpoint, verified, name=str(path.resolve()))
    if (path / "params").is_dir():
        raise CheckpointError(f"{path} is a checkpoint without config.json: take an earlier step of the run")
    exports = sorted(path.glob("stages/*/export"), key=lambda export: int(export.parent.name.split("-")[0]))
    if exports:
        return _in_directory(exports[-1], name)
    raise ConfigError(
        f"model.name_or_path={name!r} holds no model: neither config.json beside weights nor a finished "
        "stage's export (stages/*/export)"
    )


def _download(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=DOWNLOADED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"model.name_or_path={name!r} is no directory here and the hub does not give it ({reason}): "
            "check the spelling, the network and the access rights, or give a directory"
        ) from error
