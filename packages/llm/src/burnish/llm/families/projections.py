"""What the matrices of attention and MLP are called in a checkpoint, which may store several as one."""

from dataclasses import dataclass

from burnish.llm.families.architecture import Architecture


@dataclass(frozen=True)
class Projection:
    """The tensor that holds a matrix, below its module, and the rows that it takes of it."""

    name: str
    rows: tuple[int, int] | None = None
    """None for all of them."""


def of_attention(shape: Architecture) -> tuple[Projection, Projection, Projection]:
    """Return the projections to queries, keys and values."""
    if not shape.is_fused:
        return Projection("q_proj"), Projection("k_proj"), Projection("v_proj")
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    first_key, first_value = queries, queries + keys
    return (
        Projection("qkv_proj", (0, first_key)),
        Projection("qkv_proj", (first_key, first_value)),
        Projection("qkv_proj", (first_value, first_value + keys)),
    )


def of_mlp(shape: Architecture) -> tuple[Projection, Projection]:
    """Return the projections to the gate and to what it lets through."""
    if not shape.is_fused:
        return Projection("gate_proj"), Projection("up_proj")
    size = shape.intermediate_size
    return Projection("gate_up_proj", (0, size)), Projection("gate_up_proj", (size, 2 * size))
