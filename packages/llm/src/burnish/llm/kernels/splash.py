"""`splash`: the flash attention of jax for TPUs, in Pallas."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from burnish.llm.attention import QKV, SAVED, Span
from burnish.llm.kernels.protocol import AttentionCase

LANES, MOST_LANES = 128, 4
"""What the kernel's blocks and head dims are multiples of, and how many make a block at most."""


@dataclass(frozen=True)
class SplashAttention:
    """See `burnish.llm.kernels.protocol.Attention`."""

    interprets: bool = False
    """Whether it is run step by step on whatever platform, slowly, as tests do."""

    def refuses(self, case: AttentionCase) -> str | None:
        """Return why it cannot compute a case."""
        if case.platform != "tpu" and not self.interprets:
            return f"it needs a TPU, and the platform is {case.platform}"
        if case.num_devices > 1:
            return "it is computed on one device alone"
        if case.has_branches:
            return "it cannot hide a branch from another in rows that share prefixes"
        return None

    def __call__(self, qkv: QKV, span: Span, case: AttentionCase) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v; rows and heads are padded to what the kernel takes."""
        from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

        length, head_dim = qkv.queries.shape[1], qkv.queries.shape[3]
        block = LANES * min(MOST_LANES, -(-length // LANES))
        scaled = qkv._replace(queries=qkv.queries * jnp.asarray(case.spec.scale, qkv.queries.dtype))
        queries, keys, values = (_padded(each, -length % block, -head_dim % LANES) for each in scaled)
        segments = jnp.pad(span.segment_ids, ((0, 0), (0, -length % block)))
        kernel = _kernel(case, queries.shape[2], block, interprets=self.interprets)
        context = jax.vmap(kernel)(queries, keys, values, SegmentIds(segments, segments))
        return context.transpose(0, 2, 1, 3)[:, :length, :, :head_dim]


def _padded(array: Float[Array, "b t h k"], tokens: int, dims: int) -> Float[Array, "b h u j"]:
    """Return the array with heads first; keys after the last token are seen by no token of the row."""
    return jnp.pad(array, ((0, 0), (0, tokens), (0, 0), (0, dims))).transpose(0, 2, 1, 3)


def _kernel(case: AttentionCase, length: int, block: int, *, interprets: bool) -> Any:
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    square, spec = (length, length), case.spec
    # A window to the left alone is causal; a sum of both masks would be slower than either.
    seen = splash.CausalMask(square)
    if spec.window is not None:
        seen = splash.LocalMask(square, (spec.window - 1, 0), 0)
    return splash.make_splash_mha(
        splash.MultiHeadMask([seen] * case.num_heads),
        block_sizes=splash.BlockSizes(
            block_q=block,
            block_kv=block,
            block_q_dkv=block,
            block_kv_dkv=block,
            block_q_dq=block,
            block_kv_dq=block,
        ),
        attn_logits_soft_cap=spec.softcap,
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name=SAVED,
        interpret=interprets,
    )
