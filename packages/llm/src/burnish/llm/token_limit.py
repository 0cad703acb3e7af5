"""How many tokens a record may have, and what bounds them: an option, or the positions of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.llm.families.protocol import CausalLM
from burnish.platform.errors import ConfigError


@dataclass(frozen=True)
class TokenLimit:
    """Most tokens of a text, and how to speak of them."""

    tokens: int
    bound: str
    """What sets the limit, with its number."""
    remedy: str
    """What lets longer ones in."""

    def admits(self, prompt_tokens: int) -> bool:
        """Whether a prompt of so many tokens is taken: an empty one never is."""
        return 0 < prompt_tokens <= self.tokens

    def left_out(self, lengths: Sequence[int], what: str) -> str | None:
        """Return the line that says how many of all prompts are left out, None where all are taken."""
        num_empty = sum(not length for length in lengths)
        num_long = sum(length > self.tokens for length in lengths)
        of_all = f"of {len(lengths)} {what}"
        if not num_long:
            return f"{num_empty} {of_all} are empty and are left out" if num_empty else None
        empty = f", {num_empty} are empty," if num_empty else ""
        return f"{num_long} {of_all} are longer than {self.bound}{empty} and are left out; {self.remedy}"

    def none_left(self, lengths: Sequence[int]) -> str:
        """Return why not one of the prompts is taken."""
        if not any(lengths):
            return "every prompt is empty; give the records a text to ask for a completion of"
        shortest = min(length for length in lengths if length)
        return f"no prompt has {self.bound} or fewer (the shortest has {shortest}); {self.remedy}"


def positions_of(model: CausalLM) -> int | None:
    """Return the tokens that a model has positions for; None where its config does not say."""
    found = (model.hf_config.get(name) for name in ("max_position_embeddings", "n_positions"))
    return next((positions for positions in found if isinstance(positions, int)), None)


def token_limit(
    option: str, tokens: int, positions: int | None, *, reserved: int = 0, reserved_by: str = ""
) -> TokenLimit:
    """Return the limit of an option, or that of the model's positions where it is lower.

    `reserved` tokens of the positions are kept for what the option `reserved_by` asks for; ConfigError where
    they leave none.
    """
    if positions is None or tokens <= positions - reserved:
        return TokenLimit(tokens, f"{option}={tokens} tokens", f"raise {option}")
    if positions <= reserved:
        raise ConfigError(
            f"{reserved_by}={reserved} leaves no room for a prompt in the model's {positions} positions; "
            f"lower it below {positions}"
        )
    bound, remedy = f"the model's {positions} positions", "take a model of more positions"
    if not reserved_by:
        return TokenLimit(positions, bound, remedy)
    less = f"{bound} less {reserved_by}={reserved}"
    return TokenLimit(positions - reserved, less, f"lower {reserved_by}, or {remedy}")
