"""What is said of rewards that fail: which, on how many completions, why, and at which line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from burnish.platform.configuration.registry import maker_of
from burnish.sample.rewards.protocol import AsyncReward, Reward
from burnish.sample.rewards.score import ENGINE_FAILED, Scored
from burnish.sample.rewards.source_place import place_of


def failure_lines(scored: Scored, rewards: Mapping[str, Reward | AsyncReward]) -> dict[str, str]:
    """Return a line for each reward that fails on completions, by its label; the engine's do not count."""
    lines: dict[str, str] = {}
    for name, results in scored.results.items():
        failed = [each for each in results if each.status == "failed" and each is not ENGINE_FAILED]
        if failed:
            lines[name] = (
                f"reward '{name}'{maker_of(rewards[name])} ({place_of(rewards[name])}) failed on "
                f"{len(failed)} of {len(results)} completions: {failed[0].reason}"
            )
    return lines


def why_unrewarded(scored: Scored, rewards: Mapping[str, Reward | AsyncReward]) -> str | None:
    """Return why not one completion has a reward, None where some have."""
    if any(sample.reward is not None for sample in scored.samples):
        return None
    lines = [*failure_lines(scored, rewards).values()]
    for name, results in scored.results.items():
        silent = sum(each.status == "silent" for each in results)
        if silent and silent == sum(each is not ENGINE_FAILED for each in results):
            lines.append(f"reward '{name}' has nothing to say about any of {silent} completions")
    return "; ".join(lines) or f"the engine failed on all of {len(scored.samples)} completions"


@dataclass(frozen=True)
class FirstFailures:
    """Tells of each reward once that it fails; from then on the statistics count it."""

    say: Callable[[str], None]
    counted_in: str
    """The statistic that counts what fails."""
    _told: set[str] = field(default_factory=set[str], init=False)

    def tell(self, scored: Scored, rewards: Mapping[str, Reward | AsyncReward]) -> None:
        """Say which rewards fail for the first time."""
        for name, line in failure_lines(scored, rewards).items():
            if name not in self._told:
                self._told.add(name)
                self.say(f"{line}; what fails is left out, and counted in {self.counted_in}")
