"""The packages of the workspace as their `pyproject.toml` describes them."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Package:
    """One member: its directory's name, its distribution, and what it requires of its siblings."""

    name: str
    version: Version
    siblings: tuple[Requirement, ...]

    @property
    def distribution(self) -> str:
        """Return the name on the index."""
        return f"burnish-{self.name}"


def packages(root: Path = ROOT) -> dict[str, Package]:
    """Return every member by the name of its directory."""
    return {file.parent.name: _package(file) for file in sorted(root.glob("packages/*/pyproject.toml"))}


def _package(file: Path) -> Package:
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    if project["name"] != f"burnish-{file.parent.name}":
        raise ValueError(f"{file}: `{project['name']}` should be `burnish-{file.parent.name}`.")
    extras = project.get("optional-dependencies", {}).values()
    requirements = [
        Requirement(text) for texts in (project.get("dependencies", []), *extras) for text in texts
    ]
    siblings = tuple(each for each in requirements if each.name.startswith("burnish-"))
    return Package(name=file.parent.name, version=Version(project["version"]), siblings=siblings)


def needed_by(name: str, members: dict[str, Package]) -> set[str]:
    """Return the names of the siblings a package needs, directly or through another."""
    found: set[str] = set()
    open_names = [name]
    while open_names:
        for requirement in members[open_names.pop()].siblings:
            sibling = requirement.name.removeprefix("burnish-")
            if sibling not in found:
                found.add(sibling)
                open_names.append(sibling)
    return found
