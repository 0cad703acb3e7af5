"""Preference pairs from arithmetic demonstrations, a pure function of the demonstrations."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from burnish.platform import DataComponent, DataContext


@dataclass(frozen=True)
class PairSource:
    """Records `prompt`, `chosen` and `rejected` over a source of demonstrations."""

    demonstrations: Any

    @property
    def fingerprint(self) -> str:
        """A digest of everything the records depend on."""
        return f"pairs-1-{self.demonstrations.fingerprint}"

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.demonstrations)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        """Return the pair of the demonstration at `index`."""
        record = self.demonstrations[index]
        wrong = (int(record["answer"]) + 1 + zlib.crc32(record["prompt"].encode()) % 9) % 10
        return {"prompt": record["prompt"], "chosen": record["completion"], "rejected": f"#{wrong}"}


def pair_source(problems: DataComponent, context: DataContext) -> PairSource:
    """Return a pair for each demonstration."""
    return PairSource(problems.build(replace(context, split="demonstrations")))
