"""Where randomness comes from: words that name a use of it, without any carried state.

Every random decision is a pure function of (seed, stage index, step, purpose, id). Nothing here imports
jax; `burnish.platform.device.keys` folds the same words into a key on the device.
"""

from enum import IntEnum

from burnish.platform.errors import ConfigError

KeyWords = tuple[int, int, int, int, int]

_MASK_64 = (1 << 64) - 1
_WORD_LIMIT = 1 << 32


class Purpose(IntEnum):
    """What a key is used for; two purposes never share a key. Numbers stay, for resumed runs."""

    DATA = 1
    ROLLOUT = 2
    TRAINING = 3


def key_words(seed: int, stage: int, step: int, purpose: Purpose, id: int) -> KeyWords:
    """Return the five 32-bit words that name one use of randomness.

    Raises `ConfigError` when a word does not fit into 32 bits without a sign.
    """
    words = (seed, stage, step, int(purpose), id)
    for name, word in zip(("seed", "stage", "step", "purpose", "id"), words, strict=True):
        if not 0 <= word < _WORD_LIMIT:
            raise ConfigError(f"{name} {word} is out of range: legal values are 0 to {_WORD_LIMIT - 1}")
    return words


def derived_seed(*words: int) -> int:
    """Return a 63-bit seed that depends on every word and on their order (chained splitmix64)."""
    state = 0
    for word in words:
        state = mix((state ^ (word & _MASK_64)) + 0x9E3779B97F4A7C15)
    return state >> 1


def mix(value: int) -> int:
    """Return the splitmix64 finaliser of `value` modulo 2**64 (https://prng.di.unimi.it/splitmix64.c)."""
    value &= _MASK_64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return value ^ (value >> 31)
