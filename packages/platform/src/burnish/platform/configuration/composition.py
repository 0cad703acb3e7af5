"""From the words of a command to a typed config, by Hydra's compose call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import hydra
from omegaconf import DictConfig, OmegaConf

from burnish.platform.configuration.config import Config
from burnish.platform.configuration.config_source import register
from burnish.platform.configuration.overrides import rewrite
from burnish.platform.configuration.presets import PRIMARY
from burnish.platform.configuration.settle import settle
from burnish.platform.configuration.user_file import user_file
from burnish.platform.errors import ConfigError

HYDRA_VERSION = "1.3"
USER_FILE = "+file=user"
"""How Hydra is told of the user's file: the first preset, so that what is typed after it wins."""


def compose_config(overrides: Sequence[str] = ()) -> Config:
    """Return the typed config of these arguments, as `train` takes them; the first may be a YAML file."""
    return checked(compose_raw(overrides))


def printed_config(arguments: Sequence[str]) -> str:
    """Return every option with its value as YAML, and nothing of Hydra's own."""
    return OmegaConf.to_yaml(_without_hydra(settle(compose_raw(arguments))))


def compose_raw(overrides: Sequence[str]) -> DictConfig:
    """Return Hydra's composition, its own node under `hydra` included; nothing in it is checked yet."""
    words = prepare(overrides)
    register()
    with hydra.initialize_config_module(PRIMARY, job_name="train", version_base=HYDRA_VERSION):
        return hydra.compose("train", words, return_hydra_config=True)


def prepare(arguments: Sequence[str]) -> list[str]:
    """Return the arguments as Hydra takes them: the file is the first preset, no form is short."""
    user_file.set(None)
    words = list(arguments)
    files = [word for word in words if word.endswith((".yaml", ".yml")) and "=" not in word]
    if len(files) > 1:
        raise ConfigError(f"'{files[1]}': one file at most can be given, and '{files[0]}' is one")
    if files:
        path = Path(files[0])
        if not path.is_file():
            raise ConfigError(f"cannot read '{path}': there is no such file; name an existing YAML file")
        user_file.set(path)
        words = [USER_FILE, *(word for word in words if word not in files)]
    return rewrite(words)


def checked(composed: DictConfig) -> Config:
    """Return the checked config of a composition."""
    from burnish.platform.configuration.normalize import normalize

    plain = OmegaConf.to_container(_without_hydra(settle(composed)), resolve=True)
    choices = OmegaConf.to_container(composed.hydra.runtime.choices)
    return normalize(cast("dict[str, Any]", plain), cast("dict[str, str | None]", choices))


def _without_hydra(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
