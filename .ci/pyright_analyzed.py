"""Run pyright and fail on its errors, or when it looked at fewer files than there are.

`include` patterns that match nothing leave pyright content with exit status 0.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print pyright's findings and what it analyzed; return 1 when either is wrong."""
    done = subprocess.run(
        ["pyright", "--outputjson"], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False
    )
    report = json.loads(done.stdout)
    for finding in report["generalDiagnostics"]:
        place = Path(finding["file"]).relative_to(ROOT)
        line = finding["range"]["start"]["line"] + 1
        rule = finding.get("rule", finding["severity"])
        print(f"{place}:{line}: {finding['severity']}: {finding['message']} ({rule})")
    analyzed = report["summary"]["filesAnalyzed"]
    present = len(list(ROOT.glob("packages/*/src/**/*.py")))
    print(f"pyright analyzed {analyzed} files; packages/*/src has {present}")
    if analyzed < present:
        print("pyright missed files: look at `include` in pyproject.toml")
    return done.returncode or analyzed < present


if __name__ == "__main__":
    sys.exit(main())
