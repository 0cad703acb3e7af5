"""Where every submitted completion went: submitted = trained + filtered + stale + failed + in flight."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Accounting:
    """The ledger of one step; `close` refuses one that does not add up."""

    submitted: int = 0
    trained: int = 0
    failed: int = 0
    stale: int = 0
    in_flight: int = 0
    filtered: dict[str, int] = field(default_factory=dict[str, int])
    """By the reason a filter gave."""

    def leave_out(self, reason: str, count: int) -> None:
        """Record that a filter left `count` completions out."""
        self.filtered[reason] = self.filtered.get(reason, 0) + count

    def close(self) -> dict[str, int]:
        """Return the ledger by metric name.

        The identity is an invariant of ours: a step that breaks it has lost a completion.
        """
        filtered = sum(self.filtered.values())
        accounted = self.trained + filtered + self.stale + self.failed + self.in_flight
        assert self.submitted == accounted, f"{self.submitted} submitted, {accounted} accounted for: {self}"
        return {
            "accounting/submitted": self.submitted,
            "accounting/trained": self.trained,
            "accounting/filtered": filtered,
            "accounting/stale": self.stale,
            "accounting/failed": self.failed,
            "accounting/in_flight": self.in_flight,
            **{f"accounting/filtered_{reason}": count for reason, count in self.filtered.items()},
        }
