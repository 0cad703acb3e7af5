"""`chunked`: attention by blocks, in plain jax; on every platform and for every case."""

from dataclasses import dataclass

from jaxtyping import Array, Float

from burnish.llm.attention import QKV, Span
from burnish.llm.kernels.blocks import attention_in_blocks
from burnish.llm.kernels.protocol import AttentionCase

LARGEST_BLOCK, SMALLEST_BLOCK = 128, 64
LARGEST_PAIR_BYTES = 2**20
"""What the scores of a pair of blocks may take on a CPU; `benchmarks/attention.py` tries other sizes."""

BLOCK_OF_ACCELERATORS = 512
"""Large, for pairs are computed one after another; nobody has measured it."""


@dataclass(frozen=True)
class ChunkedAttention:
    """Holds the scores of a pair of blocks; see `burnish.llm.kernels.protocol.Attention`."""

    block: int | None = None
    """Tokens of a block; None is by the case, see `block_of`."""

    def refuses(self, case: AttentionCase) -> None:
        """Return None."""

    def __call__(self, qkv: QKV, span: Span, case: AttentionCase) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v."""
        return attention_in_blocks(qkv, span, case.spec, self.block or block_of(case))


def block_of(case: AttentionCase) -> int:
    """Return the tokens of a block: as many in each, and on a CPU so few that a pair stays in its cache."""
    block = BLOCK_OF_ACCELERATORS
    if case.platform == "cpu":
        fits = _pair_bytes(case, LARGEST_BLOCK) <= LARGEST_PAIR_BYTES
        block = LARGEST_BLOCK if fits else SMALLEST_BLOCK
    count = -(-case.length // block)
    return -(-case.length // count)


def _pair_bytes(case: AttentionCase, block: int) -> int:
    return 4 * case.rows * case.num_heads * block**2
