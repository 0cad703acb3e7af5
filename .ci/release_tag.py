"""Check that a tag `burnish-<package>-v<version>` names what this checkout holds, changelog included.

Without a tag, checks the tag each package would get now. Under GitHub Actions the pattern of the files that
a tag publishes becomes the output `files`.
"""

import os
import sys
from pathlib import Path

from workspace import ROOT, packages


def problem(tag: str) -> str | None:
    """Return what is wrong with a tag, or None."""
    distribution, _, version = tag.partition("-v")
    package = packages().get(distribution.removeprefix("burnish-"))
    if package is None or not version:
        return f"{tag}: no such package; a tag reads burnish-<package>-v<version>"
    if str(package.version) != version:
        return f"{tag}: {distribution} has version {package.version}"
    changelog = (ROOT / "packages" / package.name / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line for line in changelog.splitlines() if line.startswith("## ")]
    if not headings or headings[0].split()[1] != version:
        return f"{tag}: the first heading of packages/{package.name}/CHANGELOG.md should be `## {version}`"
    return None


def main() -> int:
    """Print what is wrong with the tags given, else with those due; return 1 when something is."""
    tags = sys.argv[1:] or [f"{package.distribution}-v{package.version}" for package in packages().values()]
    found = [text for text in map(problem, tags) if text]
    print("\n".join(found) or f"fit to be released: {', '.join(tags)}")
    if len(sys.argv) == 2 and "GITHUB_OUTPUT" in os.environ:
        module = sys.argv[1].partition("-v")[0].replace("-", "_")
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as stream:
            stream.write(f"files=dist/{module}-*\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
