"""Run the Python blocks of a README, in order and in one process, from an empty directory."""

import os
import re
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(readme: Path) -> int:
    """Run every block and return how many there were; a block that raises names its line in the README."""
    text = readme.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        run_block(block.group(1), readme, text.count("\n", 0, block.start(1)), namespace)
    return len(blocks)


def run_block(source: str, file: Path, line: int, namespace: dict[str, object]) -> None:
    """Run a block that begins after `line` lines of a file, which a traceback names."""
    exec(compile("\n" * line + source, str(file), "exec"), namespace)


def main() -> int:
    """Run the READMEs given; one without an example fails."""
    missing = []
    for readme in [Path(name).resolve() for name in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            count = run(readme)
            os.chdir(readme.parent)
        print(f"{readme.parent.name}/{readme.name}: ran {count} Python blocks")
        if count == 0:
            missing.append(readme)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
