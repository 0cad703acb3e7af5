"""What mkdocs is told to do beside its own work: `mkdocs.yml` names this file among its hooks."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from docs_links import MissingFileError, with_repository_links
from docs_reference import pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"^(?P<line>::: \S+)$(?:\n    options:\n(?P<indent> +))?", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the installed packages, and write out the folders of the nav."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    config.nav = expanded(config.nav, sorted(files.src_uris))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave `docs/` lead into the repository, and those to a name into the reference."""
    del files
    path = page.file.src_uri
    try:
        text = with_repository_links(
            markdown, PurePosixPath("docs", path), root=ROOT, repository=config.repo_url or ""
        )
    except MissingFileError as error:
        raise PluginError(str(error)) from error
    return text if path.startswith("reference/") else as_copies(text)


def as_copies(markdown: str) -> str:
    """Return a page whose `::: name` blocks are no target of links: the reference has every name too."""

    def copied(name: "re.Match[str]") -> str:
        indent = name["indent"] or " " * 6
        after = f"\n{indent}" if name["indent"] else ""
        return f"{name['line']}\n    options:\n{indent}skip_local_inventory: true{after}"

    return _NAME.sub(copied, markdown)


def expanded(nav: Any, paths: list[str]) -> Any:
    """Return a nav in which `folder/*` is every page of the folder; a section without a page is left out."""
    entries: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            (title, below), *_ = entry.items()
            inner = below if isinstance(below, str) else expanded(below, paths)
            entries += [{title: inner}] if inner else []
        elif entry.endswith("/*"):
            entries += [path for path in paths if PurePosixPath(path).match(entry) and path.endswith(".md")]
        else:
            entries.append(entry)
    return entries
