"""The rotary frequencies that a `config.json` asks for, rounded as transformers rounds them.

Exponent, power and quotient are each rounded to fp32: a single rounding of the exact value gives other
angles, by up to 1e-3 at position 30,000.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.rotary import Rotary
from burnish.platform.configuration.ranges import NotNegative, Positive

Frequencies = Float32[np.ndarray, " k"]


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the frequencies of one kind of layer are computed from."""

    rope: HFConfig
    """The rotary part of a `config.json`."""
    theta: float
    head_dim: int
    max_positions: int

    @property
    def trained(self) -> float:
        """The positions that the model knew before it was stretched."""
        return self.rope.value("original_max_position_embeddings", Positive, self.max_positions or None)

    @property
    def exponents(self) -> Frequencies:
        return np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)

    @property
    def periods(self) -> Frequencies:
        """theta^(2i/k)."""
        return (self.theta ** self.exponents.astype(np.float64)).astype(np.float32)

    @property
    def plain(self) -> Frequencies:
        return np.float32(1.0) / self.periods


def rotary_of(rope: HFConfig, *, theta: float, head_dim: int, max_positions: int) -> Rotary:
    """Return the rotary embedding that the rotary part of a `config.json` describes.

    Raises:
        ConfigError: its type is none of `TYPES`, or a number is missing or out of range.
    """
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind not in TYPES:
        rope.refuse(f"rope_type={kind!r}", f"only {', '.join(map(repr, TYPES))}")
    if rope.value("partial_rotary_factor", Positive, 1.0) != 1.0:
        rope.refuse("partial_rotary_factor", "only 1")
    request = _Request(rope=rope, theta=theta, head_dim=head_dim, max_positions=max_positions)
    frequencies, scale = TYPES[kind](request)
    return Rotary(tuple(frequencies.astype(np.float32).tolist()), scale)


def _default(request: _Request) -> tuple[Frequencies, float]:
    """theta^(-2i/k): RoFormer, https://arxiv.org/abs/2104.09864."""
    return request.plain, 1.0


def _linear(request: _Request) -> tuple[Frequencies, float]:
    """Positions divided by a factor: position interpolation, https://arxiv.org/abs/2306.15595."""
    return request.plain / np.float32(request.rope.value("factor", Positive)), 1.0


def _llama3(request: _Request) -> tuple[Frequencies, float]:
    """Long waves divided by a factor, short ones kept, those between blended: Llama 3.1."""
    rope, plain = request.rope, request.plain
    factor, low, high = (
        np.float32(rope.value(name, Positive)) for name in ("factor", "low_freq_factor", "high_freq_factor")
    )
    trained = request.trained
    waves = np.float32(2 * math.pi) / plain
    share = (np.float32(trained) / waves - low) / (high - low)
    blended = (1 - share) * plain / factor + share * plain
    long, short = waves > trained / low, waves < trained / high
    return np.where(long, plain / factor, np.where(short, plain, blended)), 1.0


def _yarn(request: _Request) -> tuple[Frequencies, float]:
    """Frequencies that turn seldom within the trained length divided by a factor: https://arxiv.org/abs/2309.00071."""
    rope, dims = request.rope, request.head_dim
    trained = request.trained
    factor = rope.value("factor", Positive, request.max_positions / trained)

    def dim_that_turns(times: float) -> float:
        if request.theta == 1.0:
            rope.refuse("rope_theta=1 with 'yarn'", "every pair of dims would turn alike")
        return dims * math.log(trained / (times * 2 * math.pi)) / (2 * math.log(request.theta))

    low = dim_that_turns(rope.value("beta_fast", Positive, 32.0))
    high = dim_that_turns(rope.value("beta_slow", Positive, 1.0))
    if rope.flag("truncate", default=True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    ramp = (np.arange(dims // 2, dtype=np.float32) - low) / (high + 0.001 * (low == high) - low)
    kept = 1 - np.clip(ramp, 0, 1).astype(np.float32)
    divided = np.float32(1.0) / (np.float32(factor) * request.periods)
    return divided * (1 - kept) + request.plain * kept, _yarn_scale(rope, factor)


def _yarn_scale(rope: HFConfig, factor: float) -> float:
    """Return the stated factor of cosine and sine, or the paper's, .1 ln(factor) + 1."""

    def of(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    above, below = rope.value("mscale", NotNegative, 0.0), rope.value("mscale_all_dim", NotNegative, 0.0)
    return rope.value("attention_factor", Positive, of(above) / of(below) if above and below else of(1.0))


TYPES: Mapping[str, Callable[[_Request], tuple[Frequencies, float]]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "dynamic": _default,  # up to the trained length, which limits what is read; beyond it the base moves
}
"""What transformers calls the ways to compute frequencies."""
