"""The `eval` stage: one evaluation of the model that arrives, one row, and everything passed on unchanged."""

from typing import Any

import jax
from burnish.llm.bundle import Bundle, load_bundle
from burnish.llm.config import Pretrained
from burnish.platform.run import Run
from burnish.platform.stage import Artifacts
from burnish.sample.evaluation import Evaluation


class EvalStage:
    """Evaluates the model of the stage before, or of the `model` component where there is none."""

    def __init__(
        self, run: Run, *, model: Any, tokenizer: Any, data: Any, engine: Any, evaluation: Any
    ) -> None:
        """Hold the run and the components of the shared fields."""
        self._run = run
        self._model = model
        self._tokenizer = tokenizer
        self._data = data
        self._engine = engine
        self._evaluation = evaluation

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Evaluate, commit row 0 and return `artifacts` as they are."""
        bundle, evaluation = self._prepare(artifacts)
        engine = self._engine.build(
            model=bundle.model,
            tokenizer=bundle.tokenizer,
            mesh=self._run.mesh,
            max_tokens=evaluation.max_tokens,
            compute_dtype=self._run.jax.compute_dtype,
        )
        engine.update_weights(bundle.params, 0)
        for step in self._run.steps(0):
            self._run.commit(step, evaluation(engine, step))
        return artifacts

    def plan(self) -> dict[str, int | float | str]:
        """Return what would be evaluated, without allocating for it."""
        bundle, evaluation = self._prepare(Artifacts())
        leaves = jax.tree.leaves(bundle.model.abstract(self._run.jax.compute_dtype))
        return {
            "model": bundle.source,
            "parameters": sum(leaf.size for leaf in leaves),
            "parameter_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in leaves),
            "problems": evaluation.num_problems,
            "max_tokens": evaluation.max_tokens,
        }

    def _prepare(self, artifacts: Artifacts) -> tuple[Bundle, Evaluation]:
        directory = artifacts.get("model")
        model = self._model if directory is None else Pretrained(name_or_path=str(directory))
        bundle = load_bundle(model, self._tokenizer, self._run.jax, self._run.seed)
        writer = self._run.samples("eval")
        return bundle, self._evaluation.build(data=self._data, tokenizer=bundle.tokenizer, writer=writer)
