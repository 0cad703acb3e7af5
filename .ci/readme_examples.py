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
        padding = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(padding + block.group(1), str(readme), "exec"), namespace)
    return len(blocks)


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
