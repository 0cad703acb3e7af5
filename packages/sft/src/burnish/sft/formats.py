"""From records to the samples that are trained on: rendering is llm's, the cut and the checks are here."""

from dataclasses import dataclass

from burnish.llm.chat import render
from burnish.llm.sequence import Sample, make_sample
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

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample:
        """Return the sample of the record at `index`."""
        return self.samples[index]

    @property
    def longest(self) -> int:
        """The tokens of the longest sample."""
        return max(len(sample) for sample in self.samples)


def encode(source: DataSource, tokenizer: Tokenizer, max_length: int, where: str) -> Demonstrations:
    """Return every record as prompt and completion tokens with the loss on the completion.

    A sample beyond `max_length` tokens loses its tail. A record that leaves no token to learn from raises
    DataError with its number and the way out; `where` is the stage's place in the config.
    """
    samples, num_truncated = [], 0
    for index in followed("tokenize", range(len(source))):
        record = source[index]
        try:
            prompt, completion = render(tokenizer, record)
        except DataError as error:
            raise DataError(f"{where}.data: record {index}: {error}") from error
        kept = completion[: max(max_length - len(prompt), 0)]
        sample = make_sample(prompt[:max_length], kept, record=record)
        if sample.num_trained_tokens == 0:
            raise DataError(
                f"{where}.data: record {index} has no supervised token: its prompt has {len(prompt)} tokens "
                f"and {where}.max_length is {max_length}; mend the record, or raise {where}.max_length"
            )
        num_truncated += len(kept) < len(completion)
        samples.append(sample)
    return Demonstrations(tuple(samples), source.fingerprint, num_truncated)
