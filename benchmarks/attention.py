"""Say what kernels of attention take: `benchmarks/attention.py [--lengths 512 2048] [--kernels xla chunked]`.

For each length and kernel it computes values and gradients of one layer's attention and prints processor and
wall-clock seconds, the least of several calls, and the bytes of the program's temporaries. `chunked:128` has
blocks of 128 tokens. A kernel that refuses the case prints why.
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from burnish.llm.attention import QKV, AttentionSpec, Span
from burnish.llm.attention_choice import kernel_of
from burnish.llm.kernels.choice import case_of
from burnish.llm.kernels.chunked import ChunkedAttention
from burnish.llm.kernels.protocol import Attention


def main(arguments: list[str] | None = None) -> None:
    """Print one line of JSON per length and kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 4096])
    parser.add_argument("--kernels", nargs="+", default=["xla", "chunked"])
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--heads", type=int, nargs=2, default=[8, 2], metavar=("QUERY", "KEY"))
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--window", type=int)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--calls", type=int, default=5)
    options = parser.parse_args(arguments)
    for length in options.lengths:
        for word in options.kernels:
            line = {"kernel": word, "length": length, "rows": options.rows, "window": options.window}
            print(json.dumps(line | measure(_kernel(word), length, options)), flush=True)


def measure(kernel: Attention, length: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return what value and gradients of one layer take, or why the kernel refuses them."""
    qkv, cotangent = _inputs(length, options)
    ones = jnp.ones((options.rows, length), jnp.int32)
    span = Span(jnp.cumsum(ones, axis=1) - 1, ones)
    spec = AttentionSpec(scale=options.head_dim**-0.5, window=options.window)
    case = case_of(qkv, span._replace(max_segments=1), spec)
    if reason := kernel.refuses(case):
        return {"refuses": reason}

    def total(qkv: QKV) -> Array:
        return jnp.vdot(kernel(qkv, span, case), cotangent)

    compiled = jax.jit(jax.value_and_grad(total)).lower(qkv).compile()
    clocks = []
    for _ in range(options.calls + 1):
        started = time.process_time(), time.perf_counter()
        jax.block_until_ready(compiled(qkv))
        clocks.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    processor, wall = np.min(clocks[1:], axis=0)
    memory: Any = compiled.memory_analysis()
    return {
        "processor_seconds": round(float(processor), 4),
        "wall_seconds": round(float(wall), 4),
        "temporary_bytes": memory.temp_size_in_bytes,
    }


def _kernel(word: str) -> Attention:
    name, _, block = word.partition(":")
    return ChunkedAttention(int(block)) if block else kernel_of(name)


def _inputs(length: int, options: argparse.Namespace) -> tuple[QKV, Array]:
    generator = np.random.default_rng(0)
    queries, cotangent, keys, values = (
        jnp.asarray(generator.standard_normal((options.rows, length, heads, options.head_dim)), options.dtype)
        for heads in (options.heads[0], options.heads[0], options.heads[1], options.heads[1])
    )
    return QKV(queries, keys, values), cotangent


if __name__ == "__main__":
    main()
