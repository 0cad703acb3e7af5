"""From records to the samples that are trained on: rendering is llm's, the cut and the count are here."""

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
    """The samples of a source's records, by index: a source itself, so a `RecordStream` orders them."""

    samples: tuple[Sample, ...]
    fingerprint: str
    num_truncated: int
    num_left_out: int = 0
    """Records whose prompt leaves no room for a token to learn."""

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
    where nothing to learn would remain. A record that cannot be rendered raises DataError with its number, as
    do records of which none is left; `where` is the stage's place in the config.
    """
    limit = token_limit(f"{where}.max_length", max_length, positions)
    samples: list[Sample] = []
    num_truncated, prompt_lengths = 0, []
    for index in followed("tokenize", range(len(source))):
        record = source[index]
        try:
            prompt, completion = render(tokenizer, record)
        except DataError as error:
            raise DataError(f"{where}.data: record {index}: {error}") from error
        prompt_lengths.append(len(prompt))
        kept = completion[: max(limit.tokens - len(prompt), 0)]
        sample = make_sample(prompt[: limit.tokens], kept, record=record)
        if sample.num_trained_tokens > 0:
            num_truncated += len(kept) < len(completion)
            samples.append(sample)
    if not samples:
        raise DataError(
            f"{where}.data: no prompt leaves room for a token to learn within {limit.bound} (the shortest "
            f"has {min(prompt_lengths, default=0)} tokens); {limit.remedy}"
        )
    return Demonstrations(tuple(samples), source.fingerprint, num_truncated, len(source) - len(samples))


def told(demonstrations: Demonstrations, limit: TokenLimit) -> str | None:
    """Return the line about the records that are too long, None where there is none."""
    cut, left_out = demonstrations.num_truncated, demonstrations.num_left_out
    if not cut + left_out:
        return None
    return (
        f"{cut + left_out} of {len(demonstrations) + left_out} demonstrations are longer than {limit.bound}: "
        f"{cut} lose their tail, {left_out} are left out, as their prompts leave no room; {limit.remedy}"
    )
