"""Run the blocks of a page of `docs/`, in order, in one empty directory, as a reader of the page would.

- `console`: each line after `$ ` is run by bash. What is shown below it has to be printed; numbers may
  differ, and `...` stands for anything. `sh` is run as a whole, until a command fails.
- `python` is run in one process for the whole page; `yaml` is checked by `train --dry-run`; `toml`, `json`
  and `jsonl` are parsed. With `title="name"` a block is written to that file instead.
- `text` and blocks without a language are looked at by people alone.

A comment on the line before a block changes that: `<!-- not run: reason -->` leaves it out,
`<!-- exits 2 -->` says how its last command ends, and `<!-- shortened: a=1 b=2 -->` adds words to its first
command, so that what takes minutes takes seconds here.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from readme_examples import run_block

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 300
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_MARKS = {
    "not run": re.compile(r"<!-- not run: (.+) -->"),
    "exits": re.compile(r"<!-- exits (\d+) -->"),
    "shortened": re.compile(r"<!-- shortened: (.+) -->"),
}
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")


class PageError(Exception):
    """A block of a page does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and what the comment before it says."""

    language: str
    title: str
    body: str
    line: int
    marks: dict[str, str]


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    for fence in _FENCE.finditer(text):
        language, _, options = fence["info"].strip().partition(" ")
        title = re.search(r'title="([^"]+)"', options)
        before = text[: fence.start()].rstrip().rpartition("\n")[2].strip()
        marks = {name: found[1] for name, mark in _MARKS.items() if (found := mark.fullmatch(before))}
        if before.startswith("<!--") and not marks:
            raise PageError(f"'{before}' is no mark; legal: {', '.join(_MARKS)}")
        line = text.count("\n", 0, fence.start("body"))
        yield Block(language, title[1] if title else "", textwrap.dedent(fence["body"]), line, marks)


def commands(body: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with what is shown below it."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        count = next((i for i, line in enumerate(lines) if not line.endswith("\\")), len(lines) - 1) + 1
        yield "\n".join(lines[:count]), "\n".join(lines[count:]).strip()


def is_printed(shown: str, printed: str) -> bool:
    """Return whether what a page shows is what was printed, whatever the numbers and for `...` anything."""
    wanted = re.escape(_plain(shown)).replace(re.escape("..."), ".*?")
    return re.search(rf"^{wanted}$", _plain(printed), re.MULTILINE | re.DOTALL) is not None


def _plain(text: str) -> str:
    return "\n".join(" ".join(_NUMBER.sub("0", line).split()) for line in text.strip().splitlines())


def run(page: Path) -> int:
    """Run the blocks of a page in the working directory and return how many there were.

    Raises:
        PageError: one does not do what the page says; its line is named.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    count = 0
    for block in blocks(text):
        if "not run" in block.marks:
            continue
        count += 1
        try:
            _run(block, page, namespace)
        except (PageError, ValueError, OSError, subprocess.TimeoutExpired) as error:
            raise PageError(f"{page}:{block.line}: {error}") from error
    return count


def _run(block: Block, page: Path, namespace: dict[str, object]) -> None:
    if "shortened" in block.marks and block.language != "console":
        raise PageError("only the first command of a console block can be shortened")
    if block.title:
        _parse(block)
        Path(block.title).write_text(block.body, encoding="utf-8")
    elif block.language == "console":
        _run_console(block)
    elif block.language == "sh":
        _call(f"set -e\n{block.body}", int(block.marks.get("exits", 0)))
    elif block.language == "python":
        run_block(block.body, page, block.line, namespace)
    elif block.language == "yaml":
        Path("block.yaml").write_text(block.body, encoding="utf-8")
        _call("train --dry-run block.yaml", expected=0)
    else:
        _parse(block)


def _run_console(block: Block) -> None:
    found = list(commands(block.body))
    if not found:
        raise PageError("a console block without a line that begins with '$ '")
    for index, (command, shown) in enumerate(found):
        words = f" {block.marks['shortened']}" if index == 0 and "shortened" in block.marks else ""
        expected = int(block.marks.get("exits", 0)) if index == len(found) - 1 else 0
        printed = _call(command + words, expected)
        if shown and not is_printed(shown, printed):
            raise PageError(f"`{command}` prints something else than the page shows:\n{printed}")


def _call(command: str, expected: int) -> str:
    """Run a command and return what it printed; PageError where it ends otherwise than expected."""
    done = subprocess.run(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=_environment(),
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode != expected:
        raise PageError(f"`{command}` ends with {done.returncode}, not {expected}:\n{done.stdout}")
    return done.stdout


def _environment() -> dict[str, str]:
    """The commands are those of this environment, and one CPU device is what a laptop has."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    left_out = ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "COLUMNS")
    return {name: value for name, value in os.environ.items() if name not in left_out} | {"PATH": path}


def _parse(block: Block) -> None:
    """Raise where a block is none of its language."""
    match block.language:
        case "python":
            compile(block.body, block.title, "exec")
        case "toml":
            tomllib.loads(block.body)
        case "json":
            json.loads(block.body)
        case "jsonl":
            for line in block.body.splitlines():
                json.loads(line)
        case "yaml" | "text" | "":
            return
        case other:
            legal = "console, sh, python, yaml, toml, json, jsonl and text"
            raise PageError(f"nobody here runs '{other}'; the languages of a block are {legal}")


def main() -> int:
    """Run the pages given, each in an empty directory with a link to `docs/` and to `examples/`."""
    for page in [Path(name).resolve() for name in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            for name in ("docs", "examples"):
                Path(name).symlink_to(ROOT / name)
            sys.path.insert(0, directory)
            try:
                print(f"{page.relative_to(ROOT)}: ran {run(page)} blocks", flush=True)
            except PageError as failure:
                print(failure, file=sys.stderr)
                return 1
            finally:
                os.chdir(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
