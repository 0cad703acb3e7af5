"""The user's file of `train file.yaml`: an experiment preset in which components may be written in place.

`engine: {use: name, slots: 64}` cannot be merged over the options of another engine, so every component that
the file names is lifted into the file's defaults list, where Hydra composes its own options first. The
`config.yaml` of a run is such a file.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from burnish.platform.configuration.chain import stage_of_block, stage_type
from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.option_types import show
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import IMPORT_PATH, NAME, known_slots, resolve
from burnish.platform.configuration.slot_fields import SlotField
from burnish.platform.errors import ConfigError


class UserFile(NamedTuple):
    """The file of a command line, and the words that are composed after it."""

    path: Path
    words: Sequence[str]


user_file: ContextVar[UserFile | None] = ContextVar("user_file", default=None)
"""The file, while its configuration is composed."""


def load_user_file() -> dict[str, Any]:
    """Return the file as Hydra composes it, with its path recorded under `run.config_path`."""
    given = user_file.get()
    assert given is not None, "the group `file` is used only where a file is given"
    path = given.path
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except OSError as error:
        raise ConfigError(
            f"cannot read '{path}': {error.strerror or error}; name an existing YAML file"
        ) from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"'{path}' holds no mapping of options")
    _require_texts(str(path), "", cast("dict[Any, Any]", loaded))
    written = cast("dict[str, Any]", loaded)
    if not isinstance(hydra := written.get("hydra", {}), dict):
        raise ConfigError(f"hydra: expected a mapping of Hydra's own options, got {show(hydra)}")
    for word in given.words:
        _, chooses, place = word.partition("=")[0].partition("@")
        if chooses:
            _forget_removal(written, place)
    content = _Lift(written).lifted()
    run = content.get("run", {})
    return {**content, "run": {**run, "config_path": str(path)} if isinstance(run, dict) else run}


def _forget_removal(content: dict[str, Any], path: str) -> None:
    """Take the null out that a file has where a word after it chooses a component: the word wins."""
    *above, label = path.split(".")
    node: Any = content
    for part in above:
        node = cast("dict[str, Any]", node).get(part) if isinstance(node, dict) else None
    if isinstance(node, dict) and cast("dict[str, Any]", node).get(label, "") is None:
        del node[label]


class _Lift:
    """One file on its way; collects the choices for the defaults list."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.added: list[Any] = []
        self.overridden: list[Any] = []

    def lifted(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        written = self.content.get("defaults", [])
        if not isinstance(written, list):
            raise ConfigError("defaults: expected a list, as in a Hydra preset")
        defaults = cast("list[Any]", written)
        sections = options_of(Sections)
        slots = known_slots()
        for key, value in self.content.items():
            if key in sections:
                body |= self._inside(Sections, "", {key: value})
            elif key == "stage":
                self.overridden.append({"override /stage": _chain(value)})
            elif key in slots:
                self._put(body, key, self._component(SlotField("slot", key, ("top",)), key, key, value))
            elif key == "stages":
                body[key] = self._stages(value)
            elif key != "defaults":
                body[key] = value
        overrides = [entry for entry in defaults if _is_override(entry)]
        plain = [entry for entry in defaults if entry not in overrides]
        last = [] if "_self_" in plain else ["_self_"]
        return {"defaults": [*plain, *self.added, *last, *self.overridden, *overrides], **body}

    def _stages(self, given: Any) -> Any:
        """Lift what the blocks name; blocks that all say what they are say what the chain is."""
        if not isinstance(given, dict):
            return _unlifted("stages", given)
        blocks = cast("dict[str, Any]", given)
        uses = {block: _choice(options) for block, options in blocks.items()}
        names = [name for name, _ in uses.values() if name is not None]
        if names and len(names) == len(blocks) and "stage" not in self.content:
            self.overridden.append({"override /stage": "+".join(names)})
            blocks = {block: options for block, (_, options) in uses.items()}
        return {
            block: self._block(block, uses[block][0] or stage_of_block(block), options)
            for block, options in blocks.items()
        }

    def _block(self, block: str, stage: str | None, options: Any) -> Any:
        if stage is None:
            return options
        return self._inside(stage_type(stage), f"stages.{block}", options)

    def _inside(self, component: type[Any], path: str, given: Any) -> Any:
        """Lift the components that a mapping names for the slots of its dataclass."""
        if not isinstance(given, dict):
            return _unlifted(path, given)
        options = options_of(component)
        body: dict[str, Any] = {}
        for name, value in cast("dict[str, Any]", given).items():
            option, where = options.get(name), f"{path}.{name}".lstrip(".")
            if option is not None and option.is_section:
                body[name] = self._inside(option.annotation, where, value)
            elif option is None or option.slot is None:
                body[name] = value
            elif option.slot.kind == "slots":
                body[name] = self._members(option.slot, where, value)
            elif option.slot.kind != "shared" or value != self.content.get(option.slot.slot):
                lifted = self._component(option.slot, f"{option.slot.slot}@{where}", where, value)
                self._put(body, name, lifted)
        return body

    def _members(self, declared: SlotField, path: str, given: Any) -> Any:
        """Lift several components of one slot, by their labels."""
        if not isinstance(given, dict):
            return _unlifted(
                path, given, f"a mapping from labels to components of the slot '{declared.slot}'"
            )
        members: dict[str, Any] = {}
        for label, value in cast("dict[str, Any]", given).items():
            where = f"{path}.{label}"
            self._put(members, label, self._component(declared, f"{declared.slot}@{where}", where, value))
        return members

    def _component(self, declared: SlotField, key: str, path: str, value: Any) -> Any:
        """Move the choice into the defaults list and return the options that are left."""
        name, options = _choice(value)
        if name is None:
            return _unlifted(path, value, f"a name for the slot '{declared.slot}' or a mapping with 'use'")
        label = path.rpartition(".")[2]
        is_composed = label in declared.default if declared.kind == "slots" else bool(declared.default)
        if is_composed and declared.kind != "shared":
            self.overridden.append({f"override /{key}": name})
        else:
            self.added.append({f"/{key}": name})
        found = resolve(declared.slot, name)
        return self._inside(found, path, options) if isinstance(found, type) else options

    @staticmethod
    def _put(body: dict[str, Any], name: str, options: Any) -> None:
        if options != {}:
            body[name] = options


def _chain(given: Any) -> str:
    """Return a chain as it is typed behind `stage=`, from that or from a list of stages."""
    names = cast("list[Any]", given) if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"stage: expected a chain such as sft+rl, or a list of stages, got {show(given)}")
    return "+".join(names)


def _unlifted(path: str, given: Any, expected: str = "a mapping of options") -> Any:
    """Return what names no component; a list is refused, at which Hydra stops without saying where."""
    if isinstance(given, list):
        raise ConfigError(f"{path}: expected {expected}, got {show(given)}")
    return given


def _require_texts(file: str, path: str, content: Mapping[Any, Any]) -> None:
    """Refuse a key that YAML reads as something else, such as `1`, `no` or nothing."""
    for key, value in content.items():
        if not isinstance(key, str):
            where = f" in '{path}'" if path else ""
            raise ConfigError(
                f"'{file}': the key {key!r}{where} is no text; name an option, or put it in quotes"
            )
        if isinstance(value, dict):
            _require_texts(file, f"{path}.{key}".lstrip("."), cast("dict[Any, Any]", value))


def _is_override(entry: Any) -> bool:
    return isinstance(entry, Mapping) and any(
        str(key).startswith("override ") for key in cast("dict[Any, Any]", entry)
    )


def _choice(value: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the component that a value names and its options; None where it names none."""
    options: dict[str, Any] = dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else {}
    name = cast("Any", value)
    if "target" in options and options.keys() <= {"target", "kwargs"}:
        kwargs: Any = options.get("kwargs", {})
        name, options = options["target"], kwargs
    elif options:
        name = options.pop("use", None)
    if not isinstance(name, str) or not (NAME.fullmatch(name) or IMPORT_PATH.fullmatch(name)):
        return None, {}
    return name, options
