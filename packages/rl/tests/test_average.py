"""A run that keeps an average of its weights is judged by it, and samples its rollouts from the weights."""

import json
from dataclasses import replace

import pytest

from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.testing import KeptRows, make_run
from burnish.rl import loop
from burnish.rl.config.stage import RL
from burnish.sample.rewards.protocol import RewardResult

OPTIONS = RL(
    steps=4,
    prompts_per_step=4,
    samples_per_prompt=4,
    max_new_tokens=6,
    optimizer=AdamW(learning_rate=1e-2, schedule="constant"),
)
AVERAGING = JaxTraining(ema_decay=0.99)
"""It lags far behind."""


class Odd:
    """Rewards odd token ids."""

    def build(self, _):
        return lambda samples: [
            RewardResult(float(sum(sample.tokens[sample.sampled] % 2))) for sample in samples
        ]


def samples(run, name: str) -> list[dict]:
    lines = (run.root.path / f"samples/{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def finished(tmp_path, shared):
    """Return a function that runs a stage in a directory of its own."""

    def finish(name, **options):
        sink = KeptRows()
        made = make_run(tmp_path / name, "rl", sink)
        made.rows = sink.rows
        replace(OPTIONS, rewards={"odd": Odd()}, **options).build(made, **shared).run(Artifacts())
        return made

    return finish


@pytest.fixture
def averaged(finished):
    return finished("averaged", training=AVERAGING)


def evaluated(run, step: int) -> list[str]:
    return [row["completion"] for row in samples(run, "eval") if row["step"] == step]


def test_what_is_evaluated_is_the_average_and_rollouts_are_of_the_weights(finished, averaged):
    plain = finished("plain")
    assert samples(averaged, "rollouts") == samples(plain, "rollouts")
    assert evaluated(averaged, 0) == evaluated(plain, 0)
    assert evaluated(averaged, 4) != evaluated(plain, 4)
    losses = [[row["policy/loss"] for row in each.rows[1:]] for each in (plain, averaged)]
    assert losses[0] == losses[1]


def test_twin_an_engine_that_keeps_the_average_samples_other_rollouts(finished, averaged, monkeypatch):
    def keeps(evaluation, engine, training, step):
        engine.update_weights(training.averaged())
        return evaluation(engine, step)

    monkeypatch.setattr(loop, "judge", keeps)
    kept = finished("kept", training=AVERAGING, max_mismatch=1e9)
    assert samples(kept, "rollouts") != samples(averaged, "rollouts")


def test_an_engine_has_its_weights_again_also_where_an_evaluation_fails():
    held = []

    class Engine:
        update_weights = staticmethod(held.append)

    class Training:
        averaged, weights = staticmethod(lambda: "average"), staticmethod(lambda: "weights")

    def fails(*_):
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        loop.judge(fails, Engine(), Training(), 1)
    assert held == ["average", "weights"]
