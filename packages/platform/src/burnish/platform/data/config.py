"""The data components of this package as plain data, importable without jax."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.patterns import compiled
from burnish.platform.configuration.ranges import Count, Share, Whole
from burnish.platform.errors import DataError

if TYPE_CHECKING:
    from burnish.platform.data.source import DataContext, DataSource


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """The last digit of a sum of digits: right demonstrations, some of which show their work."""

    num_problems: Count = 100_000
    """Different problems, held-out ones included."""

    num_digits: Count = 5
    """Digits that are added in a problem."""

    num_demonstrations: Count = 2000
    """Problems with a worked or bare answer to imitate."""

    worked_fraction: Share = 0.3
    """Share of the demonstrations that show running last digits before the answer."""

    keep: Literal["all", "worked", "bare"] = "all"
    """Which demonstrations are used: all, those that show their work, or those that only answer."""

    num_prompts: Count = 1280
    """Problems to sample completions for; disjoint from the demonstrations."""

    seed: Whole = 0
    """Which problems these are; independent of the run's seed."""

    def __post_init__(self) -> None:
        """Refuse sizes without a problem in them."""
        check_options(self)

    def splits(self) -> tuple[str, ...]:
        """Return the splits there are."""
        return ("demonstrations", "prompts", "validation", "test")

    def build(self, context: "DataContext") -> "DataSource":
        """Return the records of one split; DataError names the splits there are."""
        from burnish.platform.data.arithmetic import build_split

        _require_split("arithmetic", context.split, self.splits())
        return build_split(
            context.split,
            num_problems=self.num_problems,
            num_digits=self.num_digits,
            num_demonstrations=self.num_demonstrations,
            worked_fraction=self.worked_fraction,
            keep=self.keep,
            num_prompts=self.num_prompts,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class Jsonl:
    """Records from files with one JSON object per line."""

    places: ClassVar[frozenset[str]] = frozenset({"path", "validation_path", "test_path"})

    path: str
    """File of the demonstrations, which are also the prompts to roll out."""

    validation_path: str | None = None
    """File of the problems to tune on; null is no such split."""

    test_path: str | None = None
    """File of the problems to report on; null is no such split."""

    prompt_field: str = "prompt"
    """Key that holds the prompt: a text, or a list of messages. Where there is no `prompt`, `messages` are
    found by themselves."""

    completion_field: str = "completion"
    """Key that holds the completion to imitate: a text, or messages that end with the assistant's; a prompt
    of messages that ends so needs none."""

    answer_field: str = "answer"
    """Key that holds the right answer."""

    answer_pattern: str | None = None
    """Regular expression with the answer in the completion as a group, `#### (.+)`; null: `answer_field`."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is none, or that captures nothing."""
        check_options(self)
        if self.answer_pattern is not None:
            compiled("answer_pattern", self.answer_pattern, needs_group=True)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that a file is given for."""
        return tuple(self._paths())

    def build(self, context: "DataContext") -> "DataSource":
        """Return the records of one split; DataError names file and line of what cannot be read."""
        from burnish.platform.data.jsonl import build_source

        split = context.split
        missing = {name: f": set data.{name}_path" for name in ("validation", "test")}
        _require_split("jsonl", split, self.splits(), missing.get(split, ""))
        return build_source(
            Path(self._paths()[split]),
            option=f"data.{split}_path" if split in missing else "data.path",
            prompt_field=self.prompt_field,
            completion_field=self.completion_field,
            answer_field=self.answer_field,
            answer_pattern=self.answer_pattern,
            needs_completion=split == "demonstrations",
        )

    def _paths(self) -> dict[str, str]:
        """Return the file of each split that has one: two read the same."""
        held_out = {"validation": self.validation_path, "test": self.test_path}
        given = {name: path for name, path in held_out.items() if path is not None}
        return {"demonstrations": self.path, "prompts": self.path, **given}


def _require_split(source: str, split: str, splits: tuple[str, ...], remedy: str = "") -> None:
    if split not in splits:
        raise DataError(f"data '{source}' has no split '{split}'; it has {', '.join(splits)}{remedy}")
