"""The last digit of a sum of digits: a task a small model fails in its head and solves on paper.

A prompt is `3+8+0+6+9=`. Every demonstration is right; some show their work as running last digits before
the answer (`3,1,1,7,6#6`), the others write only the answer (`#6`). Everything is a pure function of the
options: nothing is read, and a problem is held out by a checksum of its own text.
"""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

from burnish.platform.data.fingerprint import options_fingerprint
from burnish.platform.data.order import indices_at
from burnish.platform.data.source import Record
from burnish.platform.device.randomness import derived_seed
from burnish.platform.errors import DataError

_VERSION = 1
_TENTH = 10

_Problem = tuple[str, str | None]
"""A prompt, and the style in which it is demonstrated."""


class ArithmeticSource:
    """The problems of one split; `style` is None where a record does not demonstrate."""

    def __init__(self, problems: Sequence[_Problem], fingerprint: str) -> None:
        """Hold (prompt, style) pairs with style "worked", "bare" or None."""
        self._problems = problems
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        """Return the number of problems."""
        return len(self._problems)

    def __getitem__(self, index: int) -> Record:
        """Return prompt and answer, and completion and style in the demonstrations."""
        prompt, style = self._problems[index]
        running = running_last_digits(prompt)
        answer = running[-1]
        record = {"prompt": prompt, "answer": answer}
        if style is None:
            return record
        work = ",".join(running) if style == "worked" else ""
        return {**record, "completion": f"{work}#{answer}", "style": style}


def build_split(
    split: str,
    *,
    num_problems: int,
    num_digits: int,
    num_demonstrations: int,
    worked_fraction: float,
    keep: str,
    num_prompts: int,
    seed: int,
) -> ArithmeticSource:
    """Return one split of the task: "demonstrations", "prompts", "validation" or "test".

    A problem is held out when crc32(prompt) is a multiple of ten: half of these for "validation", half for
    "test". "demonstrations" and "prompts" are drawn from the rest and share no problem. `keep` is the style
    of the demonstrations that are used, or "all".
    """
    parts = _parts(num_problems, num_digits, seed)
    options: dict[str, Any] = {"num_problems": num_problems, "num_digits": num_digits, "seed": seed}
    if split in ("validation", "test"):
        problems = _without_style(parts[split])
    else:
        _require_enough(parts["training"], num_demonstrations, num_prompts)
        options["num_demonstrations"] = num_demonstrations
        demonstrations = parts["training"][:num_demonstrations]
        if split == "prompts":
            options["num_prompts"] = num_prompts
            problems = _without_style(parts["training"][num_demonstrations:][:num_prompts])
        else:
            options |= {"worked_fraction": worked_fraction, "keep": keep}
            styled = _with_style(demonstrations, worked_fraction, seed)
            problems = [(prompt, style) for prompt, style in styled if keep in ("all", style)]
    return ArithmeticSource(problems, options_fingerprint(f"arithmetic-{_VERSION}-{split}", options))


def running_last_digits(prompt: str) -> list[str]:
    """Return the last digit of each partial sum: `3+8+0=` gives 3, 1, 1."""
    digits = [int(digit) for digit in prompt.rstrip("=").split("+")]
    return [str(total % 10) for total in accumulate(digits)]


def _require_enough(training: Sequence[str], num_demonstrations: int, num_prompts: int) -> None:
    if num_demonstrations + num_prompts > len(training):
        raise DataError(
            f"data 'arithmetic': num_demonstrations={num_demonstrations} and num_prompts={num_prompts} need "
            f"more than the {len(training)} problems that are not held out: lower one, or raise num_problems"
        )


def _without_style(prompts: Sequence[str]) -> list[_Problem]:
    return [(prompt, None) for prompt in prompts]


def _with_style(prompts: Sequence[str], worked_fraction: float, seed: int) -> list[_Problem]:
    num_worked = round(worked_fraction * len(prompts))
    ranks = indices_at(derived_seed(seed, 1), 0, np.arange(len(prompts)), len(prompts))
    styles = ["worked" if rank < num_worked else "bare" for rank in ranks]
    return list(zip(prompts, styles, strict=True))


@lru_cache(maxsize=4)
def _parts(num_problems: int, num_digits: int, seed: int) -> dict[str, list[str]]:
    """Return the shuffled prompts by part: training, validation, test."""
    space = 10**num_digits
    if num_problems > space:
        raise DataError(
            f"data 'arithmetic': num_problems={num_problems}, but {num_digits} digits make {space} problems: "
            "lower it, or raise num_digits"
        )
    parts: dict[str, list[str]] = {"training": [], "validation": [], "test": []}
    order = derived_seed(seed, 0)
    for number in indices_at(order, 0, np.arange(num_problems), space).tolist():
        prompt = "+".join(str(number).zfill(num_digits)) + "="
        checksum = zlib.crc32(prompt.encode())
        if checksum % _TENTH:
            parts["training"].append(prompt)
        else:
            parts["validation" if checksum // _TENTH % 2 == 0 else "test"].append(prompt)
    return parts
