"""How much the evaluations of a stage compute, estimated before it runs."""

from burnish.llm.families.protocol import CausalLM
from burnish.llm.work import forward_flops
from burnish.sample.evaluation import Evaluation


def evaluation_flops(model: CausalLM, evaluation: Evaluation, last_step: int) -> float:
    """Return the operations of all evaluations of a stage, each text as long as the longest."""
    times = sum(evaluation.due(step, last_step) for step in range(last_step + 1))
    length = evaluation.max_tokens
    return times * forward_flops(model, evaluation.num_problems * length, length / 2)
