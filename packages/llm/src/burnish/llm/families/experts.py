"""Several MLPs in place of one, of which each token takes a few, by a router; no token is dropped."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from burnish.llm.families.adapted import Adapted, product
from burnish.llm.families.architecture import Architecture, Experts
from burnish.llm.families.operations import ACTIVATIONS, LAYER, project
from burnish.llm.families.parameters import declare
from burnish.llm.families.routing import Routing
from burnish.llm.grouped_matmul import grouped_matmul
from burnish.llm.row_sharding import each_on_its_rows


class SparseMLP(nnx.Module):
    """The sum of gated MLPs, down(activation(gate(x)) * up(x)), by the shares that the router gives them."""

    def __init__(self, shape: Architecture, experts: Experts) -> None:
        self.activation, self.experts = ACTIVATIONS[shape.activation], experts
        width, inner = (shape.hidden_size, "embed"), (experts.intermediate_size, "mlp")
        gate, up, down = experts.names
        self.router = declare(
            (shape.hidden_size, experts.count),
            ("embed", "experts"),
            f"{LAYER}.{experts.prefix}.gate.weight",
            num_input_dims=1,
        )
        self.gate = _matrices(experts, width, inner, gate)
        self.up = _matrices(experts, width, inner, up)
        self.down = _matrices(experts, inner, width, down)

    def __call__(self, hidden: Float[Array, "b t d"]) -> tuple[Float[Array, "b t d"], Routing]:
        """Return the MLP of each position, and what the router says of it."""
        parameters = self.router, self.gate, self.up, self.down
        return each_on_its_rows(self._of_rows, hidden, *(each[...] for each in parameters))

    def _of_rows(
        self, hidden: Float[Array, "b t d"], router: Any, gate: Any, up: Any, down: Any
    ) -> tuple[Float[Array, "b t d"], Routing]:
        """Return what is called for, of rows whose tokens are sorted by expert together."""
        shares, routing = self._routed(hidden, router)
        chosen, per_token = routing.chosen.reshape(-1), self.experts.per_token
        order = jnp.argsort(chosen, stable=True)
        sizes = jnp.bincount(chosen, length=self.experts.count)
        each = partial(_each, sizes=sizes, expert_of_rows=chosen[order])
        taken = hidden.reshape(-1, hidden.shape[-1])[order // per_token]
        made = each(self.activation(each(taken, gate)) * each(taken, up), down)
        back = jnp.zeros_like(made).at[order].set(made).reshape(-1, per_token, hidden.shape[-1])
        weighted = back.astype(jnp.float32) * shares.reshape(-1, per_token, 1)
        return jnp.sum(weighted, axis=1).astype(hidden.dtype).reshape(hidden.shape), routing

    def _routed(self, hidden: Float[Array, "b t d"], router: Any) -> tuple[Float32[Array, "b t k"], Routing]:
        """Return the shares of each token's experts, rounded to its dtype, and which they are."""
        probabilities = jax.nn.softmax(project(hidden, router).astype(jnp.float32), axis=-1)
        shares, chosen = jax.lax.top_k(probabilities, self.experts.per_token)
        if self.experts.normalizes:
            shares = shares / jnp.sum(shares, axis=-1, keepdims=True)
        return shares.astype(hidden.dtype).astype(jnp.float32), Routing(probabilities, chosen)


def _each(
    rows: Float[Array, "m d"],
    weights: Float[Array, "e d f"] | Adapted,
    *,
    sizes: Int[Array, " e"],
    expert_of_rows: Int[Array, " m"],
) -> Float[Array, "m f"]:
    """Return each row times the matrix of its expert."""
    if not isinstance(weights, Adapted):
        return grouped_matmul(rows, weights, sizes)
    return product(
        rows,
        weights,
        lambda values, matrices: grouped_matmul(values, matrices, sizes),
        lambda factors: factors[expert_of_rows],
    )


def _matrices(experts: Experts, inputs: tuple[int, str], outputs: tuple[int, str], name: str) -> Any:
    return declare(
        (experts.count, inputs[0], outputs[0]),
        ("experts", inputs[1], outputs[1]),
        f"{LAYER}.{experts.prefix}.experts.{{expert}}.{name}.weight",
        num_input_dims=1,
    )
