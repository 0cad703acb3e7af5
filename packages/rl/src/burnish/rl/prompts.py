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
    """Some records of a source, by index: a source itself, so a `RecordStream` orders them."""

    source: DataSource
    indices: tuple[int, ...]
    longest: int
    """Tokens of the longest prompt."""
    mean_length: float
    """Tokens of a prompt on average."""

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
    indices = tuple(index for index, length in enumerate(lengths) if 0 < length <= limit.tokens)
    if not indices:
        shortest = min(lengths, default=0)
        raise DataError(
            f"{where}.data: no prompt has {limit.bound} or fewer (the shortest has {shortest}); "
            f"{limit.remedy}"
        )
    kept = [lengths[index] for index in indices]
    return Prompts(source, indices, max(kept), sum(kept) / len(kept))
