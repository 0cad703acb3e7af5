"""The prompts of a stage: those of a source that fit, and how long the longest of them is."""

from dataclasses import dataclass

from burnish.llm.chat import render_prompt
from burnish.llm.token_limit import TokenLimit
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.activity import followed
from burnish.platform.data.source import DataSource, Record
from burnish.platform.errors import DataError


@dataclass(frozen=True)
class Prompts:
    """Some records of a source, by index: a source itself, so that a stage can shuffle them."""

    source: DataSource
    indices: tuple[int, ...]
    longest: int
    """Tokens of the longest prompt."""
    mean_length: float
    """Tokens of a prompt on average."""
    left_out: str | None = None
    """The line about the records that are left out, None where there is none."""

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Record:
        """Return the record of prompt `index`."""
        return self.source[self.indices[index]]

    @property
    def fingerprint(self) -> str:
        """The source's digest and which of its records these are."""
        return f"{self.source.fingerprint}:{len(self.indices)}:{self.longest}"


def prompts_that_fit(source: DataSource, tokenizer: Tokenizer, limit: TokenLimit, where: str) -> Prompts:
    """Return the prompts of 1 to `limit.tokens` tokens; DataError when there is none.

    `where` is the stage's place in the config.
    """
    numbers = followed("tokenize", range(len(source)))
    lengths = [len(render_prompt(tokenizer, source[index])) for index in numbers]
    if not lengths:
        raise DataError(f"{where}.data: there are no records; choose another {where}.split, or add some")
    indices = tuple(index for index, length in enumerate(lengths) if limit.admits(length))
    if not indices:
        raise DataError(f"{where}.data: {limit.none_left(lengths)}")
    kept = [lengths[index] for index in indices]
    return Prompts(source, indices, max(kept), sum(kept) / len(kept), limit.left_out(lengths, "prompts"))
