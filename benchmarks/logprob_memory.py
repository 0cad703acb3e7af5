"""Say what scoring needs at a vocabulary of 151,936: `benchmarks/logprob_memory.py [--positions N]`.

For fp32 hidden states of 896 dims it compiles the value and both gradients of the summed log-probabilities,
runs nothing, and prints the bytes of its temporaries: `dense` has all logits and lets jax differentiate,
`kept` has one chunk of all positions, `chunked` has chunks of 1,024.
"""

import argparse
import json

import jax
import jax.numpy as jnp
from jaxtyping import Array

from burnish.llm.logprobs import linear_logprobs

VOCABULARY, WIDTH, CHUNK = 151_936, 896, 1024


def main(arguments: list[str] | None = None) -> None:
    """Print one line of JSON per way of scoring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    options = parser.parse_args(arguments)
    for name, chunk in (("dense", None), ("kept", options.positions), ("chunked", CHUNK)):
        line = {"scoring": name, "positions": options.positions, "vocabulary": options.vocabulary}
        print(json.dumps(line | measure(options.positions, options.vocabulary, chunk)), flush=True)


def measure(positions: int, vocabulary: int, chunk: int | None) -> dict[str, float]:
    """Return what the compiler says of value and gradients; without a chunk jax differentiates all logits."""

    def total(hidden: Array, matrix: Array, targets: Array) -> Array:
        if chunk is not None:
            return jnp.sum(linear_logprobs(hidden, matrix, targets, chunk=chunk).logprob)
        logprobs = jax.nn.log_softmax(hidden @ matrix)
        return jnp.sum(jnp.take_along_axis(logprobs, targets[..., None], axis=-1))

    shapes = (
        jax.ShapeDtypeStruct((1, positions, WIDTH), jnp.float32),
        jax.ShapeDtypeStruct((WIDTH, vocabulary), jnp.float32),
        jax.ShapeDtypeStruct((1, positions), jnp.int32),
    )
    compiled = jax.jit(jax.value_and_grad(total, argnums=(0, 1))).lower(*shapes).compile()
    logits = positions * vocabulary * 4
    temporaries = compiled.memory_analysis().temp_size_in_bytes
    return {"temporary_bytes": temporaries, "of_all_logits": round(temporaries / logits, 2)}


if __name__ == "__main__":
    main()
