"""The `eval` stage: one evaluation of the model that arrives, one row, and everything passed on unchanged."""

from collections.abc import Mapping
from typing import Any

import jax

from burnish.llm.work import work_plan
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.counted import counted
from burnish.platform.data.source import DataComponent, DataContext, build_data
from burnish.platform.errors import ConfigError, DataError
from burnish.platform.runs.stage_run import StageRun
from burnish.sample.evaluation import EvaluationComponent
from burnish.sample.evaluation_work import evaluation_flops
from burnish.sample.workbench import Workbench


def require_split(evaluation: EvaluationComponent, data: DataComponent) -> None:
    """Raise ConfigError where the data does not have the split to evaluate, in the data's own words."""
    split = evaluation.split
    if split not in data.splits():
        try:
            build_data(data, DataContext(split=split))
        except DataError as error:
            raise ConfigError(f"evaluation.split={split}: nothing to evaluate: {error}") from error


class EvalStage:
    """Evaluates the model of the stage before, or of the `model` component where there is none."""

    def __init__(self, run: StageRun, shared: Mapping[str, Any]) -> None:
        """Hold the run and the shared components."""
        self._run = run
        self._shared = shared

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Evaluate, commit row 0 and return `artifacts` as they are."""
        bench = Workbench.of(self._run, artifacts, self._shared)
        require_split(bench.evaluation, bench.data)
        if not bench.evaluator.num_problems:
            raise ConfigError(f"evaluation.split={bench.evaluation.split} has no problem to evaluate")
        problems = counted(bench.evaluator.num_problems, "problem")
        self._run.tell(f"{bench.received.describe()}; {problems} to evaluate")
        engine = bench.make_engine()
        with self._run.span("load"):
            engine.update_weights(bench.received.weights())
        for step in self._run.steps(0):
            self._run.commit(step, bench.evaluator(engine, step))
        return artifacts

    def plan(self) -> dict[str, int | float | str]:
        """Return what would be evaluated, without allocating for it."""
        bench = Workbench.of(self._run, Artifacts(), self._shared)
        bundle, evaluator = bench.received.bundle, bench.evaluator
        leaves = jax.tree.leaves(bundle.model.abstract(self._run.jax.compute_dtype))
        return {
            "model": bundle.source,
            "parameters": sum(leaf.size for leaf in leaves),
            "parameter bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in leaves),
            "problems": evaluator.num_problems,
            "longest sequence": evaluator.max_tokens,
            **work_plan({}, 0, evaluation_flops(bundle.model, evaluator, 0)),
        }
