"""`cudnn`: the flash attention of NVIDIA's library, by lengths or, in packed rows, by offsets."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from burnish.llm.attention import QKV, SAVED, Span
from burnish.llm.kernels.protocol import AttentionCase

AMPERE, HOPPER = (8, 0), (9, 0)


@dataclass(frozen=True)
class CuDNNAttention:
    """See `burnish.llm.kernels.protocol.Attention`."""

    def refuses(self, case: AttentionCase) -> str | None:
        """Return why it cannot compute a case: `cudnn` knows no cap and no branches."""
        if case.compute_capability is None or case.compute_capability < AMPERE:
            return f"it needs an NVIDIA GPU of compute capability 8.0, and the platform is {case.platform}"
        if case.dtype not in ("bfloat16", "float16"):
            return f"it computes in bfloat16 and float16, and the model in {case.dtype}"
        largest = 256 if case.compute_capability >= HOPPER else 128
        if case.head_dim > largest or case.head_dim % 8:
            return f"it takes heads of 8, 16, ... {largest} dims, and the model's have {case.head_dim}"
        if case.spec.softcap is not None:
            return "it has no soft-cap"
        return _refuses_rows(case)

    def __call__(self, qkv: QKV, span: Span, case: AttentionCase) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v; padding, which the library leaves unwritten, finds 0."""
        length = qkv.queries.shape[1]
        padding = ((0, 0), (0, length % 2))  # jax takes no odd lengths in training
        segment_ids = jnp.pad(span.segment_ids, padding)
        real = segment_ids > 0
        arrays = _only(real, *(jnp.pad(array, (*padding, (0, 0), (0, 0))) for array in qkv))
        run = _by_lengths if case.max_segments == 1 else _by_offsets
        return checkpoint_name(_only(real, run(arrays, segment_ids, case))[0][:, :length], SAVED)


def _refuses_rows(case: AttentionCase) -> str | None:
    if case.has_branches:
        return "it cannot hide a branch from another in rows that share prefixes"
    if case.max_segments is None:
        return "it has to know how many sequences a row may hold"
    if case.max_segments > 1 and case.compute_capability is not None and case.compute_capability < HOPPER:
        return "packed rows need compute capability 9.0"
    if case.max_segments > 1 and case.num_devices > 1:
        return "packed rows are computed on one device alone"
    return None


def _only(real: Bool[Array, "b t"], *arrays: Array) -> tuple[Array, ...]:
    """Return 0 for padding, of which gradients are then 0 as well, whatever is in memory."""
    return tuple(jnp.where(real[..., None, None], array, 0) for array in arrays)


def _by_lengths(
    arrays: tuple[Array, ...], segment_ids: Int[Array, "b t"], case: AttentionCase
) -> Float[Array, "b t h k"]:
    """Compute rows of one sequence, which are turned until it is their beginning."""
    real = segment_ids > 0
    first, lengths = jnp.argmax(real, axis=1), jnp.sum(real, axis=1, dtype=jnp.int32)
    queries, keys, values = (_turned(array, first) for array in arrays)
    window = case.spec.window
    context = jax.nn.dot_product_attention(
        queries,
        keys,
        values,
        scale=case.spec.scale,
        is_causal=True,
        query_seq_lengths=lengths,
        key_value_seq_lengths=lengths,
        local_window_size=None if window is None else (window - 1, 0),
        implementation="cudnn",
    )
    return _turned(context, -first)


def _turned(array: Float[Array, "b t h k"], by: Int[Array, " b"]) -> Float[Array, "b t h k"]:
    """Return each row from its token `by` on, and then what stands before it."""
    length = array.shape[1]
    indices = (jnp.arange(length)[None] + by[:, None]) % length
    return jnp.take_along_axis(array, indices[..., None, None], axis=1)


def _by_offsets(
    arrays: tuple[Array, ...], segment_ids: Int[Array, "b t"], case: AttentionCase
) -> Float[Array, "b t h k"]:
    """Compute rows of several sequences, which jax offers in no public function."""
    from jax._src.cudnn.fused_attention_stablehlo import MaskType, dot_product_attention

    assert case.max_segments is not None, "refused without"
    offsets, lengths = offsets_of(segment_ids, case.max_segments)
    context: Any = dot_product_attention(
        *arrays,
        q_seqlen=lengths,
        kv_seqlen=lengths,
        q_offsets=offsets,
        kv_offsets=offsets,
        scale=case.spec.scale,
        mask_type=MaskType.PADDING_CAUSAL,
        sliding_window_length=case.spec.window,
    )
    return context


def offsets_of(
    segment_ids: Int[Array, "b t"], max_segments: int
) -> tuple[Int[Array, "b o"], Int[Array, "b m"]]:
    """Return where each segment begins, one place more than there can be, and its length; -1 for none."""
    real = segment_ids > 0
    begins = real & (segment_ids != jnp.pad(segment_ids, ((0, 0), (1, 0)))[:, :-1])
    numbers = jnp.where(real, jnp.cumsum(begins, axis=1), 0)
    members = numbers[:, None] == jnp.arange(1, max_segments + 1)[None, :, None]
    lengths = jnp.sum(members, axis=-1, dtype=jnp.int32)
    offsets = jnp.where(lengths > 0, jnp.argmax(members, axis=-1).astype(jnp.int32), -1)
    return jnp.pad(offsets, ((0, 0), (0, 1)), constant_values=-1), jnp.where(lengths > 0, lengths, -1)
