"""The whole stage over a real tiny model: its rows, that it trains, and that nothing compiles later."""

import re
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.model import Pretrained
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.limits import SkippedUpdates
from burnish.llm.objective import cross_entropy
from burnish.llm.testing import params_of
from burnish.llm.training import Computed, TrainingContext, judged_weights
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.data.order import RecordStream
from burnish.platform.device.randomness import Purpose, key_words
from burnish.platform.errors import ConfigError, LimitExceeded
from burnish.sample.workbench import Workbench
from burnish.sft.config import SFT
from burnish.sft.formats import encode
from burnish.sft.loop import run_sft
from burnish.sft.stage import padded

OPTIONS = SFT(steps=5, rows_per_step=4, optimizer=AdamW(learning_rate=1e-2, schedule="constant"))


def same_leaves(left, right) -> bool:
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


def test_the_stage_trains_evaluates_and_exports(run, shared):
    artifacts = OPTIONS.build(run, **shared).run(Artifacts())
    assert [row["step"] for row in run.rows] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in run.rows if "eval/accuracy" in row] == [0, 2, 4, 5]
    assert "train/loss" not in run.rows[0]
    assert run.rows[5]["train/loss"] < 0.9 * run.rows[1]["train/loss"]
    assert all(row["train/grad_norm"] > 0 for row in run.rows[1:])
    assert all(row["train/learning_rate"] == pytest.approx(1e-2) for row in run.rows[1:])
    assert 0 < run.rows[5]["train/entropy"] < run.rows[1]["train/entropy"]
    assert artifacts.get("model") == run.stage_directory / "export"


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_export_holds_what_a_plain_loop_trains_bit_for_bit(run, shared, ema_decay):
    """Batches in the stream's order, one step each: nothing else happens in the loop."""
    options = replace(OPTIONS, training=JaxTraining(ema_decay=ema_decay))
    bundle = load_bundle(shared["model"], ModelContext(tokenizer=shared["tokenizer"], jax=JaxConfig()))
    demonstrations = encode(shared["data"], bundle.tokenizer, OPTIONS.max_length, "stages.sft")
    stream = RecordStream(demonstrations, run.data_seed)
    training = options.training.build(
        TrainingContext(
            model=bundle.model,
            load=bundle.load,
            optimizer=OPTIONS.optimizer,
            total_steps=5,
            mesh=run.mesh,
            jax=JaxConfig(),
        )
    )
    for _ in range(5):
        batch = make_batch(
            stream.take(4),
            num_rows=4,
            length=padded(demonstrations),
            pad_token_id=bundle.tokenizer.pad_token_id,
        )
        training.step(batch, cross_entropy)
    artifacts = options.build(run, **shared).run(Artifacts())
    exported = load_bundle(
        Pretrained(name_or_path=str(artifacts["model"])),
        ModelContext(tokenizer=shared["tokenizer"], jax=JaxConfig()),
    )
    assert same_leaves(params_of(exported), jax.device_get(judged_weights(training).tree))
    assert same_leaves(params_of(exported), jax.device_get(training.weights().tree)) == (ema_decay == 0)


def test_twin_another_seed_trains_something_else(run, shared):
    artifacts = OPTIONS.build(run, **shared).run(Artifacts())
    exported = artifacts.get("model").joinpath("model.safetensors").read_bytes()
    run.seed, run.root.path = 1, run.root.path.with_name("other")
    run.logger = type(run.logger)({})
    again = OPTIONS.build(run, **shared).run(Artifacts())
    assert again.get("model").joinpath("model.safetensors").read_bytes() != exported


def test_no_step_from_the_third_on_compiles(run, shared):
    """Rows of 3 to 17 tokens and evaluations included; every program is compiled anew."""
    jax.clear_caches()
    OPTIONS.build(run, **shared).run(Artifacts())
    counts = [row["compile/count"] for row in run.rows]
    assert sum(counts[:3]) > 0
    assert counts[3:] == [0, 0, 0]


class Shortened:
    """A training backend whose fourth batch has shorter rows."""

    def __init__(self, training):
        self._training = training
        self._num_steps = 0

    def __getattr__(self, name):
        return getattr(self._training, name)

    def step(self, batch, objective, **words):
        self._num_steps += 1
        if self._num_steps == 4:
            batch = jax.tree.map(lambda column: column[:, :-1], batch)
        return self._training.step(batch, objective, **words)


def run_watched(run, shared, watch, **evaluation):
    """Train five steps over a wrapped backend."""
    shared = shared | {"evaluation": replace(shared["evaluation"], **evaluation)}
    bench = Workbench.of(run, Artifacts(), shared)
    demonstrations = encode(bench.data, bench.received.bundle.tokenizer, OPTIONS.max_length, "stages.sft")
    run_sft(
        run,
        training=watch(OPTIONS.training.build(bench.received.training_context(OPTIONS.optimizer, 5))),
        demonstrations=RecordStream(demonstrations, run.data_seed),
        objective=cross_entropy,
        engine=bench.make_engine(),
        evaluation=bench.evaluator,
        steps=5,
        rows_per_step=4,
        length=padded(demonstrations),
        max_length=OPTIONS.max_length,
        skipped=SkippedUpdates(limit=3),
        pad_token_id=bench.received.bundle.tokenizer.pad_token_id,
    )


def test_twin_a_batch_of_another_shape_is_seen_to_compile(run, shared):
    run_watched(run, shared, Shortened)
    assert [row["compile/count"] > 0 for row in run.rows[3:]] == [False, True, False]


class Late:
    """A number that a device has not computed before somebody reads it."""

    def __init__(self, value, note):
        self._value, self._note = value, note

    def is_ready(self):
        return False

    def __float__(self):
        self._note()
        return float(self._value)


class Watched:
    """A training backend that records when steps are begun and when their numbers are read."""

    def __init__(self, training, events):
        self._training, self._events, self._step = training, events, 0

    def __getattr__(self, name):
        return getattr(self._training, name)

    def step(self, batch, objective, **words):
        self._step += 1
        number = self._step
        self._events.append(("begun", number))
        statistics, columns = self._training.step(batch, objective, **words)
        late = {
            name: (Late(total, lambda: self._events.append(("read", number))), count)
            for name, (total, count) in statistics.items()
        }
        return Computed(late, columns)


def test_a_step_is_read_when_the_next_one_is_under_way(run, shared):
    events = []
    run_watched(run, shared, lambda training: Watched(training, events), every_steps=0)
    at = {event: events.index(event) for event in events}
    assert [at["begun", step + 1] < at["read", step] for step in (1, 2, 3, 4)] == [True, True, True, True]


def test_twin_a_step_whose_row_is_read_at_once_is_not(run, shared):
    events = []
    run_watched(run, shared, lambda training: Watched(training, events), every_steps=1)
    at = {event: events.index(event) for event in events}
    assert [at["begun", step + 1] < at["read", step] for step in (1, 2, 3, 4)] == [False] * 4


def test_a_cut_demonstration_is_said(run, shared, capsys):
    replace(OPTIONS, max_length=13).build(run, **shared).plan()
    assert "of 12 demonstrations are longer than stages.sft.max_length=13 tokens" in capsys.readouterr().err


def test_plan_gives_the_arithmetic_and_writes_nothing(run, shared):
    plan = OPTIONS.build(run, **shared).plan()
    assert plan["rows per update"].startswith("4 = 1 x 4 x 1")
    assert plan["tokens per update"] == 4 * plan["tokens per row"]
    assert (plan["demonstrations"], plan["epochs"]) == (12, round(5 * 4 / 12, 2))
    lengths = [len(row["prompt"] + row["completion"]) + 1 for row in shared["data"].rows]
    share = 1 - np.mean(lengths) / plan["tokens per row"]
    assert plan["padding"] == f"{share:.0%} of the tokens"
    sizes = [value for quantity, value in plan.items() if quantity.startswith("memory of ")]
    assert len(sizes) == 3
    assert all(re.fullmatch(r"\d+\.\d [KMG]iB", size) for size in sizes)
    assert plan["FLOPs per step (estimate)"].startswith("update ")
    assert re.search(r"update \d+%, evaluation \d+%$", plan["FLOPs of the stage (estimate)"])
    assert not run.root.path.exists()


@pytest.mark.parametrize("aggregation", ["sequence_mean", "constant"])
def test_every_other_aggregation_trains(run, shared, aggregation):
    replace(OPTIONS, steps=3, aggregation=aggregation).build(run, **shared).run(Artifacts())
    assert run.rows[3]["train/loss"] < run.rows[1]["train/loss"]


def test_a_run_whose_updates_are_not_finite_stops(run, shared):
    diverging = replace(
        OPTIONS, optimizer=AdamW(learning_rate=1e30, schedule="constant"), max_skipped_updates=2
    )
    with pytest.raises(LimitExceeded, match="2 updates in a row were not finite") as end:
        diverging.build(run, **shared).run(Artifacts())
    directory = run.stage_directory / "not_finite"
    skipped = [row["step"] for row in run.rows if row.get("train/skipped")]
    assert sorted(file.name for file in directory.iterdir()) == [f"step_{step}.npz" for step in skipped]
    assert str(directory) in str(end.value)
    with np.load(directory / f"step_{skipped[0]}.npz") as file:
        assert np.count_nonzero(file["columns/weights"]) == run.rows[skipped[0]]["train/tokens"]
        assert not np.isfinite(file["statistics/train/loss"][0])
        words = key_words(run.seed, run.index, skipped[0], Purpose.TRAINING, 0)
        assert tuple(file["noise_words"]) == words


def test_an_objective_of_another_stage_is_refused_by_the_column_it_misses(run, shared):
    @dataclass(frozen=True)
    class Advantaged:
        columns = frozenset({"advantages"})

        def __call__(self, policy, batch):
            return policy.logprobs() * batch.columns["advantages"], {}

    @dataclass(frozen=True)
    class Component:
        def build(self, _):
            return Advantaged()

    said = r"objective: .*Advantaged\(\) needs the batch column 'advantages', .* fills only loss_weights"
    with pytest.raises(ConfigError, match=said):
        replace(OPTIONS, objective=Component()).build(run, **shared).run(Artifacts())
