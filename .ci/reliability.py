"""Write `docs/reliability.md`: what was broken on purpose, how often, and what burnish did.

Every row is a test, said by its name; `uv run .ci/reliability.py` runs them all, the slow ones too, and
writes the page anew. With `--check` it runs nothing and fails where page and tests name different things.
"""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"

SECTIONS: Mapping[str, Sequence[str]] = {
    "Killed at a moment that chance chooses": (
        "tests/e2e/test_resume.py",
        "tests/e2e/test_event_files.py",
    ),
    "Killed between two operations on the disk": (
        "packages/platform/tests/test_crash_points.py",
        "packages/platform/tests/test_resume.py",
        "tests/e2e/test_export_crash_points.py",
    ),
    "Disks that are full, read-only or failing": (
        "packages/platform/tests/test_disk_faults.py",
        "packages/platform/tests/test_program_cache.py",
        "packages/platform/tests/test_lock.py",
        "packages/platform/tests/test_orbax_echoes.py",
        "tests/e2e/test_full_disk.py",
    ),
    "Records that are damaged, missing or somebody else's": (
        "tests/e2e/test_bad_resumption.py",
        "packages/platform/tests/test_damaged_records.py",
        "packages/platform/tests/test_event_files.py",
        "packages/platform/tests/test_manifest.py",
    ),
    "Going on with something changed": (
        "packages/platform/tests/test_comparison.py",
        "tests/e2e/test_moved_data.py",
    ),
    "Ends": (
        "packages/platform/tests/test_signals.py",
        "tests/e2e/test_signals_at_start.py",
        "packages/platform/tests/test_exits.py",
        "packages/platform/tests/test_rescue.py",
        "packages/platform/tests/test_early_end.py",
        "packages/platform/tests/test_finished_stage.py",
        "packages/platform/tests/test_refusals.py",
        "packages/platform/tests/test_out_of_memory.py",
    ),
    "Other people's components": (
        "tests/e2e/test_conformance.py",
        "packages/sample/tests/test_score.py",
        "packages/sample/tests/test_overdue.py",
    ),
    "Bad input": (
        "tests/e2e/test_bad_input.py",
        "tests/e2e/test_fuzz.py",
        "tests/e2e/test_found_by_fuzz.py",
        "packages/platform/tests/test_ranges.py",
        "packages/llm/tests/test_broken_model_directories.py",
    ),
    "What a message says to do, done": (
        "tests/e2e/test_remedies.py",
        "tests/e2e/test_remedies_of_words.py",
        "tests/e2e/test_legal_values.py",
        "packages/platform/tests/test_run_remedies.py",
        "packages/platform/tests/test_component_remedies.py",
        "packages/llm/tests/test_model_remedies.py",
        "packages/llm/tests/test_record_remedies.py",
    ),
    "Numbers": (
        "packages/llm/tests/test_bfloat16.py",
        "packages/llm/tests/test_float64.py",
        "packages/rl/tests/test_mismatch_limit.py",
        "packages/rl/tests/test_mismatch_baseline.py",
        "tests/e2e/test_mismatch.py",
    ),
}
"""Headings and the test files below them."""

HEAD = """\
# Reliability

What happens when something breaks. Every line is a test: the sentence is its name, the cases are how often
it ran with something else broken, and *counted* is what it counted meanwhile. One that begins with *twin*
is a control: it takes the protection away and has to see the damage. This page is written by
`uv run .ci/reliability.py`, which runs all of them.
"""

_TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
_LINK = re.compile(r"^\| (\[.+?\]\(.+?\)) \|", re.MULTILINE)


@dataclass
class Row:
    """One test function: outcomes of its cases, and what they counted."""

    outcomes: list[str] = field(default_factory=list[str])
    counted: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, case: ElementTree.Element) -> None:
        """Take in one case of a junit report."""
        bad = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), None)
        self.outcomes.append(bad or "passed")
        for entry in case.iter("property"):
            name = entry.attrib["name"]
            self.counted[name] = self.counted.get(name, 0) + int(entry.attrib["value"])

    @property
    def result(self) -> str:
        """Say how the cases ended."""
        kinds = sorted(set(self.outcomes))
        return ", ".join(kind if len(kinds) == 1 else f"{self.outcomes.count(kind)} {kind}" for kind in kinds)


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        return check()
    rows: dict[tuple[str, str], Row] = {}
    for folder, files in groupby(sorted(chain(*SECTIONS.values())), lambda file: str(Path(file).parent)):
        if status := run(folder, list(files), rows):
            return status
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(page(rows)) + "\n", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def run(folder: str, files: list[str], rows: dict[tuple[str, str], Row]) -> int:
    """Run a folder's tests in a process of their own, as its fixtures expect, and add what they report.

    Of junit's families the first holds what tests have counted.
    """
    print(f"== {folder}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        options = ["-q", "-m", "slow or not slow", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *files]
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return status
        for case in ElementTree.parse(report).iter("testcase"):
            file = case.attrib["classname"].replace(".", "/") + ".py"
            name = case.attrib["name"].partition("[")[0]
            rows.setdefault((file, name), Row()).add(case)
    return 0


def check() -> int:
    """Fail where the page lacks a test of the sections, or has one that is gone."""
    if not PAGE.is_file():
        print("docs/reliability.md is not there; write it with: uv run .ci/reliability.py")
        return 1
    there = set(_LINK.findall(PAGE.read_text(encoding="utf-8")))
    wanted = {
        link(file, name) for section in SECTIONS.values() for file in section for name in tests_of(file)
    }
    for word, names in (("lacks", wanted - there), ("has, and no test does,", there - wanted)):
        for name in sorted(names):
            print(f"docs/reliability.md {word}: {name}")
    return there != wanted


def page(rows: Mapping[tuple[str, str], Row]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield HEAD
    for heading, files in SECTIONS.items():
        yield from (f"## {heading}", "", "| what | cases | counted | result |", "|---|---|---|---|")
        for file in files:
            for name in tests_of(file):
                row = rows[file, name]
                counted = ", ".join(f"{count:,} {what}" for what, count in row.counted.items())
                yield f"| {link(file, name)} | {len(row.outcomes)} | {counted} | {row.result} |"
        yield ""


def tests_of(file: str) -> list[str]:
    """Return the test functions of a file in their order."""
    return _TEST.findall((ROOT / file).read_text(encoding="utf-8"))


def link(file: str, name: str) -> str:
    """Return a test's name as the sentence it is, with where it stands."""
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{file})"


if __name__ == "__main__":
    sys.exit(main())
