"""How much a stage computes, estimated before it runs: its matrix products, as floating-point operations.

Every parameter counts as an entry of a matrix, the few of norms and biases too. What else norms take,
sampling and recomputation are left out. It says where the work is, and not how fast it goes: a decoded token
reads all weights, so decoding takes a larger share of the time than of the operations.
"""

from collections.abc import Mapping
from typing import Any

from burnish.llm.batch import TokenBatch
from burnish.llm.families.parameters import leaves_by_path
from burnish.llm.families.protocol import EXPERTS, CausalLM, MatrixDims, Path
from burnish.llm.tensor_layout import leaf_at
from burnish.llm.training import Compiles, TrainingComponent, TrainingContext


def forward_flops(model: CausalLM, num_tokens: float, mean_context: float) -> float:
    """Return the operations of scoring or decoding tokens, each of which attends to so many on average.

    2 per parameter that a token is multiplied with, head included and looked-up embedding not, of experts
    those that it takes, and 4 per layer, query dim and token attended to.
    """
    num_parameters = _num_multiplied(model, model.abstract("float32"))
    return num_tokens * (2 * num_parameters + 4 * _query_dims(model.hf_config) * mean_context)


def update_flops(training: TrainingComponent, context: TrainingContext, batch: TokenBatch) -> float:
    """Return the operations of a forward and backward pass over rows, padding too.

    They are those of three forward passes, without the products that would be gradients of what is frozen.
    """
    num_rows, length = batch.tokens.shape
    num_tokens = num_rows * length
    if not isinstance(training, Compiles):
        return 3 * forward_flops(context.model, num_tokens, length / 2)
    layout = training.layout(context)
    frozen = _num_multiplied(layout.model, layout.abstract_params()[1])
    return 3 * forward_flops(layout.model, num_tokens, length / 2) - 2 * num_tokens * frozen


def work_plan(per_step: Mapping[str, float], steps: int, evaluation: float) -> dict[str, str]:
    """Return the operations of a step by part, and each part's share of the whole stage.

    `evaluation` is what all evaluations of the stage take together.
    """
    whole = {**{part: steps * flops for part, flops in per_step.items()}, "evaluation": evaluation}
    total = sum(whole.values()) or 1.0
    shares = ", ".join(f"{part} {flops / total:.0%}" for part, flops in whole.items())
    step = " + ".join(f"{part} {flops:.2g}" for part, flops in per_step.items())
    return {
        **({"FLOPs per step (estimate)": step} if per_step else {}),
        "FLOPs of the stage (estimate)": f"{total:.2g}: {shares}",
    }


def _num_multiplied(model: CausalLM, params: Mapping[str, Any]) -> float:
    """Return the parameters that a token is multiplied with, of these of a model."""
    return sum(
        leaf.size * _share_of_experts(model, path, leaf.shape)
        for path, leaf in leaves_by_path(params).items()
        if not _is_looked_up_alone(model, path, leaf.shape)
    )


def _is_looked_up_alone(model: CausalLM, path: Path, shape: tuple[int, ...]) -> bool:
    """Say whether a leaf is an embedding [v d] that is no head as well: no token is multiplied with it."""
    is_table = model.matrices.get(path) == MatrixDims((0,), (1,)) and shape[0] == model.vocab_size
    return is_table and not model.hf_config.get("tie_word_embeddings", False)


def _share_of_experts(model: CausalLM, path: Path, shape: tuple[int, ...]) -> float:
    """Return the share of a leaf's experts that a token takes; 1 of what is no expert's, or is not said."""
    num_taken = _number(model.hf_config, "num_experts_per_tok")
    dims, axes = model.matrices.get(path, MatrixDims((), ())), leaf_at(model.logical_axes, path)
    counts = [
        size
        for dim, (size, axis) in enumerate(zip(shape, axes, strict=True))
        if axis == EXPERTS and dim not in (*dims.inputs, *dims.outputs)
    ]
    return num_taken / counts[0] if num_taken and counts else 1


def _query_dims(config: Mapping[str, object]) -> float:
    """Return layers x heads x head dim, 0 where the config does not say."""
    layers, heads, width = (
        _number(config, name) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    )
    return layers * heads * _number(config, "head_dim") or layers * width


def _number(config: Mapping[str, object], name: str) -> float:
    value = config.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
