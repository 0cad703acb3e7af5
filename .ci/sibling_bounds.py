"""Fail when a package bounds a sibling so that the sibling's version in this checkout is excluded.

uv resolves workspace members by path and never looks at these bounds; pip does, at the user's.
"""

import sys

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from workspace import Package, packages


def expected(version: Version) -> SpecifierSet:
    """Return the bounds for a sibling: its minor release while it is 0.x, its major release after that."""
    major, minor = version.major, version.minor
    upper = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    return SpecifierSet(f">={major}.{minor},<{upper}")


def problems(members: dict[str, Package]) -> list[str]:
    """Return one line per bound that is absent, or other than expected for the sibling's version."""
    found = []
    for package in members.values():
        for requirement in package.siblings:
            sibling = members.get(requirement.name.removeprefix("burnish-"))
            if sibling is None:
                found.append(f"{package.distribution}: requires `{requirement}`, which is no package here")
            elif not requirement.extras and requirement.specifier != expected(sibling.version):
                found.append(
                    f"{package.distribution}: requires `{requirement}`; for {sibling.distribution} "
                    f"{sibling.version} it should be `{expected(sibling.version)}`"
                )
    return found


def main() -> int:
    """Print each violation; return 1 when there is one."""
    members = packages()
    found = problems(members)
    count = sum(len(package.siblings) for package in members.values())
    print("\n".join(found) or f"{count} bounds between {len(members)} packages fit their versions")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
