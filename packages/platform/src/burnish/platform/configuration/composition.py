"""From the words of a command to a typed config, by Hydra's compose call."""

import os
import re
import sys
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from burnish.platform.configuration.config import Config
from burnish.platform.configuration.config_source import register
from burnish.platform.configuration.explain import explain, is_refusal
from burnish.platform.configuration.file_lines import in_file
from burnish.platform.configuration.leftovers import drop_leftovers
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.presets import PRIMARY
from burnish.platform.configuration.registry import resolve
from burnish.platform.configuration.unknown_key import elsewhere, unknown
from burnish.platform.configuration.user_file import UserFile, user_file
from burnish.platform.configuration.words import written_out
from burnish.platform.errors import BurnishError, ConfigError, RequiredError, UnknownKeyError

HYDRA_VERSION = "1.3"
USER_FILE = "+file=user"
"""How Hydra is told of the user's file: the first preset, so that what is typed after it wins."""
RULE = """\
# A file needs only what differs. Where components have labels (rewards, filters, sinks), a new label adds
# one, a label that is here changes that one, and `label: null` removes it.
"""
"""The comment that stands above a printed config."""


def compose_config(overrides: Sequence[str] = ()) -> Config:
    """Return the typed config of these arguments, as `train` takes them; the first may be a YAML file.

    Raises:
        BurnishError: they are no legal configuration, in one line.
    """
    with explained(overrides):
        return checked(compose_raw(overrides))


def printed_config(arguments: Sequence[str]) -> str:
    """Return every option with its value as YAML, `???` for one that is required, and nothing of Hydra's own.

    Raises:
        BurnishError: what a run refuses, but for values that are not there yet.
    """
    with explained(arguments):
        composed = compose_raw(arguments)
        with suppress(RequiredError):
            checked(composed)
        return RULE + OmegaConf.to_yaml(settle(composed))


@contextmanager
def explained(arguments: Sequence[str]) -> Generator[None]:
    """Say in one line what Hydra refuses in several: what it is, where, and what would be legal."""
    try:
        yield
    except Exception as error:
        if not is_refusal(error):
            raise
        raise ConfigError(explain(error, arguments, compose_most)) from error


def compose_raw(overrides: Sequence[str]) -> DictConfig:
    """Return Hydra's composition, its own node under `hydra` included; nothing in it is checked yet."""
    words, _ = prepare(overrides)
    register()
    with hydra.initialize_config_module(PRIMARY, job_name="train", version_base=HYDRA_VERSION):
        composed = hydra.compose("train", words, return_hydra_config=True)
    with open_dict(composed):
        composed.hydra.runtime.output_dir = os.getcwd()
    HydraConfig.instance().set_config(composed)  # for a `${hydra:...}` in it
    return composed


def compose_most(overrides: Sequence[str]) -> DictConfig | None:
    """Return the composition of what is no sweep, to look things up in; None where there is none."""
    try:
        return compose_raw([word for word in overrides if not re.search(r"=[^'\"\[{(]*,", word)])
    except Exception as error:
        if not is_refusal(error) and not isinstance(error, BurnishError):
            raise
        return None


def prepare(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments as Hydra takes them, the file as the first preset, and each as it was typed."""
    files = [word for word in arguments if word.endswith((".yaml", ".yml")) and "=" not in word]
    if len(files) > 1:
        raise ConfigError(f"'{files[1]}': one file at most can be given, and '{files[0]}' is one")
    if files and not Path(files[0]).is_file():
        raise ConfigError(f"cannot read '{files[0]}': there is no such file; name an existing YAML file")

    def chosen_groups(words: list[str]) -> Collection[str]:
        composed = compose_most([*files, *words])
        return [] if composed is None else composed.hydra.runtime.choices

    if files and (beside := str(Path(files[0]).resolve().parent)) not in sys.path:
        sys.path.append(beside)  # a user's own module may lie beside the file that names it
    typed = [word for word in arguments if word not in files]
    words = written_out(typed, chosen_groups)
    user_file.set(UserFile(Path(files[0]), words) if files else None)
    return [*([USER_FILE] if files else []), *words], [*files, *typed]


def checked(composed: DictConfig) -> Config:
    """Return the checked config of a composition."""
    from burnish.platform.configuration.normalize import normalize

    plain = OmegaConf.to_container(settle(composed), resolve=True)
    choices = OmegaConf.to_container(composed.hydra.runtime.choices)
    try:
        return normalize(cast("dict[str, Any]", plain), cast("dict[str, str | None]", choices))
    except RequiredError:
        raise
    except UnknownKeyError as error:
        said = elsewhere(error.key, composed) or unknown(error.key, error.legal, composed)
        raise ConfigError(in_file(said, user_file.get())) from error
    except ConfigError as error:
        raise ConfigError(in_file(str(error), user_file.get())) from error


def settle(composed: DictConfig) -> DictConfig:
    """Return the composition without Hydra's own node, each block's own shared component without leftovers.

    A block holds `data: ${data}`. Merging `+data@stages.rl.data=jsonl` over that copies the options of the
    component at the top first; those that only that one has would be taken for typing errors.
    """
    for key, choice in composed.hydra.runtime.choices.items():
        slot, _, path = str(key).partition("@")
        if choice is not None and slot != "stages" and slot in composed and path.startswith("stages."):
            own, top = OmegaConf.select(composed, path), composed[slot]
            if isinstance(own, DictConfig) and isinstance(top, DictConfig):
                component: Any = resolve(slot, str(own.get("use", choice)))
                _drop_inherited(own, top, component, f"{slot}.", typed_overrides(composed))
    drop_leftovers(composed, typed_overrides(composed))
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def _drop_inherited(
    own: DictConfig, top: DictConfig, component: Any, prefix: str, words: Sequence[str]
) -> None:
    """Remove what a component has no option for and the one at the top has, as it is or was when copied."""
    keys = [f"{word.lstrip('+~').partition('=')[0]}." for word in words]
    legal = {"use"}
    if isinstance(component, type):
        legal |= options_of(component).keys()
    with open_dict(own):
        for name in [name for name in own if name not in legal and name in top]:
            # The copy was made before the command line changed the component at the top.
            if own[name] == top[name] or any(key.startswith(f"{prefix}{name}.") for key in keys):
                del own[name]


def typed_overrides(composed: DictConfig) -> list[str]:
    """Return Hydra's words, with a `${...}` in them as it was typed: reading the list would resolve it."""
    return cast("list[str]", OmegaConf.to_container(composed.hydra.overrides.task, resolve=False))
