"""`chunked`: attention by blocks, in plain jax; on every platform and for every case."""

from dataclasses import dataclass

from jaxtyping import Array, Float

from burnish.llm.attention import QKV, Span
from burnish.llm.kernels.blocks import attention_in_blocks
from burnish.llm.kernels.protocol import AttentionCase

LARGEST_BLOCK, SMALLEST_BLOCK = 256, 64
LARGEST_PAIR_BYTES = 4 * 2**20
"""What the scores of a pair of blocks may take; `benchmarks/attention.py` shows what other sizes cost."""


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
    """Return the tokens of a block: as many in each, and so few that the scores of a pair stay small."""
    block = LARGEST_BLOCK
    while block > SMALLEST_BLOCK and 4 * case.rows * case.num_heads * block**2 > LARGEST_PAIR_BYTES:
        block //= 2
    count = -(-case.length // block)
    return -(-case.length // count)
