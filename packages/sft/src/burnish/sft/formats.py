"""From records to the samples that are trained on: rendering is llm's, the cut and the count are here."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.llm.chat import render
from burnish.llm.sequence import Sample, make_sample
from burnish.llm.token_limit import TokenLimit, token_limit
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.activity import followed
from burnish.platform.data.source import DataSource
from burnish.platform.errors import DataError


@dataclass(frozen=True)
class Demonstrations:
    """The samples of a source's records, by index: a source itself, so that a stage can shuffle them."""

    samples: tuple[Sample, ...]
    fingerprint: str
    """The source's digest; where some are cut or left out, also how many are left and their longest."""
    limit: TokenLimit
    """Most tokens of a sample."""
    num_truncated: int = 0
    num_left_out: int = 0
    """Records whose prompt leaves no room for a token to learn."""
    num_empty: int = 0
    """Records whose prompt is empty, which are left out too."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample:
        """Return the sample of the record at `index`."""
        return self.samples[index]

    @property
    def mean_length(self) -> float:
        """The tokens of a sample on average."""
        return sum(map(len, self.samples)) / len(self.samples)

    @property
    def longest(self) -> int:
        """The tokens of the longest sample."""
        return max(len(sample) for sample in self.samples)


def encode(
    source: DataSource, tokenizer: Tokenizer, max_length: int, where: str, *, positions: int | None = None
) -> Demonstrations:
    """Return the records as prompt and completion tokens with the loss on the completion.

    A sample beyond `max_length` tokens, or beyond the model's `positions`, loses its tail, and is left out
    where nothing to learn would remain, as is one with an empty prompt. A record that cannot be rendered
    raises DataError with its number, and so do records of which none is left; `where` is the stage's place in
    the config.
    """
    limit = token_limit(f"{where}.max_length", max_length, positions)
    samples: list[Sample] = []
    num_truncated, lengths = 0, list[int]()
    for index in followed("tokenize", range(len(source))):
        record = source[index]
        try:
            prompt, completion = render(tokenizer, record)
        except DataError as error:
            raise DataError(f"{where}.data: record {index}: {error}") from error
        lengths.append(len(prompt))
        if 0 < len(prompt) < limit.tokens:
            kept = completion[: limit.tokens - len(prompt)]
            num_truncated += len(kept) < len(completion)
            samples.append(make_sample(prompt, kept, record=record))
    if not samples:
        raise DataError(f"{where}.data: {_none_left(lengths, limit, where)}")
    is_whole = not num_truncated and len(samples) == len(source)
    return Demonstrations(
        tuple(samples),
        source.fingerprint if is_whole else f"{source.fingerprint}:{len(samples)}:{max(map(len, samples))}",
        limit,
        num_truncated=num_truncated,
        num_left_out=sum(length >= limit.tokens for length in lengths),
        num_empty=lengths.count(0),
    )


def told(demonstrations: Demonstrations) -> str | None:
    """Return the line about the records that are cut or left out, None where there is none."""
    cut, left_out, empty = (
        demonstrations.num_truncated,
        demonstrations.num_left_out,
        demonstrations.num_empty,
    )
    of_all = f"of {len(demonstrations) + left_out + empty} demonstrations"
    if not cut + left_out:
        return f"{empty} {of_all} have an empty prompt and are left out" if empty else None
    limit = demonstrations.limit
    also = f", {empty} more are left out, as their prompts are empty" if empty else ""
    return (
        f"{cut + left_out} {of_all} are longer than {limit.bound}: {cut} lose their tail, {left_out} are "
        f"left out, as their prompts leave no room{also}; {limit.remedy}"
    )


def _none_left(lengths: Sequence[int], limit: TokenLimit, where: str) -> str:
    """Return why there is nothing to learn from prompts of these lengths."""
    if not lengths:
        return f"there are no records; choose another {where}.split, or add some"
    if not any(lengths):
        return limit.none_left(lengths)
    shortest = min(length for length in lengths if length)
    return (
        f"no prompt leaves room for a token to learn within {limit.bound} (the shortest has {shortest} "
        f"tokens); {limit.remedy}"
    )
