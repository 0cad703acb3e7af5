"""The whole paths of options, for who has typed the end of one."""

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf


def paths_that_end_in(key: str, composed: DictConfig) -> list[str]:
    """Return the options whose path ends in `key`, or whose last word it is or abbreviates (`lr`).

    Where it names a part of the config, only those below that part.
    """
    above, _, word = key.rpartition(".")
    paths = [path for path in _paths(composed, "") if not path.startswith("hydra.")]
    ends = [path for path in paths if path.endswith(f".{key}")]
    named = [path for path in paths if _is_below(above, path) and word in _spellings(path.rpartition(".")[2])]
    return ends or named


def _is_below(above: str, path: str) -> bool:
    return not above or path.startswith(f"{above}.")


def _spellings(name: str) -> tuple[str, ...]:
    """Return a name, and its initials where it is several words."""
    words = name.split("_")
    return (name, "".join(part[:1] for part in words)) if len(words) > 1 else (name,)


def _paths(node: DictConfig, path: str) -> Iterator[str]:
    """Yield the path of every option; what a block shares with others is at the top, and `use` is none."""
    for name in node:
        where = f"{path}.{name}".lstrip(".")
        if name == "use" or OmegaConf.is_interpolation(node, str(name)):
            continue
        if OmegaConf.is_missing(node, str(name)):
            yield where
        elif isinstance(child := node[name], DictConfig):
            yield from _paths(child, where)
        else:
            yield where
