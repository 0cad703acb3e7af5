"""Links of a page that lead out of `docs/`: on the site they lead to the repository.

In a checkout such a link opens a file; on the site there is none. A file that is not there fails the build.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath

_BLOCK = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>\.\.?/[^)\s]*)\)")


class MissingFileError(Exception):
    """A link leads to a file that the repository lacks."""


def with_repository_links(markdown: str, page: PurePosixPath, *, root: Path, repository: str) -> str:
    """Return a page whose links to files beside `docs/` lead to `repository`, or are text where that is "".

    `page` is its path from `root`; blocks of code are left alone.

    Raises:
        MissingFileError: a file is not there.
    """

    def replaced(link: "re.Match[str]") -> str:
        name, hash_sign, anchor = link["target"].partition("#")
        path = posixpath.normpath(posixpath.join(page.parent.as_posix(), name))
        if path.startswith("docs/"):
            return link[0]
        if not (root / path).exists():
            raise MissingFileError(
                f"{page}: the link to '{link['target']}' leads to {path}, which is not there"
            )
        return (
            f"[{link['text']}]({repository}/blob/main/{path}{hash_sign}{anchor})"
            if repository
            else link["text"]
        )

    parts = _BLOCK.split(markdown)
    return "".join(part if index % 2 else _LINK.sub(replaced, part) for index, part in enumerate(parts))
