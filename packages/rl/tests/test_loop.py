"""The whole stage over a real tiny model: rows, ledger, limit, and that nothing compiles later."""

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any

import jax
import pytest

from burnish.llm.config.optimizer import AdamW
from burnish.llm.limits import SKIPPED
from burnish.llm.work import forward_flops
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.errors import LimitExceeded
from burnish.platform.testing import KeptRows, make_run
from burnish.rl.config.advantage import LeaveOneOut
from burnish.rl.config.filter import UniformReward
from burnish.rl.config.objective import ClippedPolicyGradient, PolicyGradient
from burnish.rl.config.stage import RL
from burnish.rl.mismatch_limit import FLOAT32_LIMIT
from burnish.rl.objectives.mismatch import ABSOLUTE
from burnish.sample.rewards.protocol import RewardResult
from burnish.sample.testing import Around, InterferingEngine
from burnish.sample.workbench import Workbench

PARTS = ("trained", "filtered", "stale", "failed", "in_flight")


@dataclass(frozen=True)
class Rewarding:
    """A reward as a component: what a function of one sample's text says; an exception is one."""

    function: Any

    def build(self, _):
        return lambda samples: [RewardResult(float(self.function(sample))) for sample in samples]


VOWELS = Rewarding(lambda sample: sum(sample.tokens[sample.sampled] % 2))
"""The odd token ids of the completion: something that can be learned by chance."""

OPTIONS = RL(
    steps=5,
    prompts_per_step=4,
    samples_per_prompt=4,
    updates_per_rollout=2,
    max_new_tokens=6,
    rewards={"odd": VOWELS},
    optimizer=AdamW(learning_rate=1e-2, schedule="constant"),
)


def test_the_stage_improves_what_is_rewarded_and_says_all_there_is(run, shared):
    options = replace(OPTIONS, steps=12, prompts_per_step=8, samples_per_prompt=8)
    artifacts = options.build(run, **shared).run(Artifacts())
    assert [row["step"] for row in run.rows] == list(range(13))
    assert [row["step"] for row in run.rows if "eval/accuracy" in row] == list(range(0, 13, 2))
    assert artifacts.get("model") == run.stage_directory / "export"
    names = {
        "policy/loss",
        "train/entropy",
        "train/grad_norm",
        "train/learning_rate",
        "train/tokens",
        SKIPPED,
        ABSOLUTE,
        "mismatch/k3",
        "policy/clip_fraction",
        "reward/odd",
        "reward/mean",
        "reward/std",
        "reward/group_std",
        "reward/failed",
        "reward/mixed_groups",
        "rollout/completion_tokens",
        "rollout/truncated",
        "rollout/updates",
        "time/rollout_seconds",
        "time/reward_seconds",
        "time/update_seconds",
        *(f"accounting/{part}" for part in ("submitted", *PARTS)),
    }
    for row in run.rows[1:]:
        assert names <= row.keys(), names - row.keys()
        assert "train/loss" not in row, "the curve of imitation would go on"
        assert all(math.isfinite(value) for value in row.values())
    early, late = (sum(row["reward/odd"] for row in run.rows[rows]) for rows in (slice(1, 4), slice(10, 13)))
    assert late > 1.2 * early


def test_every_step_accounts_for_every_completion(run, shared):
    def picky(sample):
        return 1 / (len(sample) % 3) if sample.tokens[-1] % 4 else 0.0

    options = replace(OPTIONS, rewards={"picky": Rewarding(picky)}, filters={"uniform": UniformReward()})
    options.build(run, **shared).run(Artifacts())
    for row in run.rows[1:]:
        assert row["accounting/submitted"] == 16
        assert row["accounting/submitted"] == sum(row[f"accounting/{part}"] for part in PARTS)
        assert row["accounting/failed"] == row["reward/failed"]
    assert sum(row["accounting/failed"] for row in run.rows[1:]) > 0, "a division by zero is a failure"


def test_a_step_with_nothing_kept_makes_no_update_and_says_so(run, shared):
    same = {"same": Rewarding(lambda _: 1.0)}
    options = replace(OPTIONS, steps=2, rewards=same, filters={"uniform": UniformReward()})
    stage = options.build(run, **shared)
    artifacts = stage.run(Artifacts())
    for row in run.rows[1:]:
        assert row["rollout/updates"] == 0
        assert row["accounting/filtered"] == row["accounting/filtered_uniform_reward"] == 16
        assert row["accounting/trained"] == 0
        assert "policy/loss" not in row
    assert completions(run, step=0) == completions(run, step=2)
    assert artifacts.get("model").is_dir()


def test_twin_a_step_with_something_kept_updates(run, shared):
    replace(OPTIONS, steps=2).build(run, **shared).run(Artifacts())
    assert [row["rollout/updates"] for row in run.rows[1:]] == [2, 2]
    assert completions(run, step=0) != completions(run, step=2)


def completions(run, step: int) -> list[str]:
    """What the evaluation of a step got for an answer."""
    lines = (run.root.path / "samples/eval.jsonl").read_text().splitlines()
    return [row["completion"] for row in map(json.loads, lines) if row["step"] == step]


def test_rollouts_are_written_for_reading(run, shared):
    replace(OPTIONS, steps=1, log_groups=2).build(run, **shared).run(Artifacts())
    lines = (run.root.path / "samples/rollouts.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert [row["group"] for row in written] == [0] * 4 + [1] * 4
    assert all(row["rewards"]["odd"] == row["reward"] for row in written)


@pytest.mark.parametrize(
    "parts",
    [
        {"advantage": LeaveOneOut(), "objective": ClippedPolicyGradient(), "aggregation": "sequence_mean"},
        {"objective": PolicyGradient(), "aggregation": "constant", "updates_per_rollout": 1},
    ],
)
def test_other_algorithms_run_through_the_same_loop(run, shared, parts):
    replace(OPTIONS, steps=1, **parts).build(run, **shared).run(Artifacts())
    assert run.rows[1]["rollout/updates"] == parts.get("updates_per_rollout", 2)
    assert run.rows[1][ABSOLUTE] < FLOAT32_LIMIT / 10


def test_no_step_from_the_third_on_compiles(run, shared):
    """Prompts of 1 to 11 tokens, evaluations and left-out groups included; all is compiled anew."""
    jax.clear_caches()
    options = replace(OPTIONS, steps=6, filters={"uniform": UniformReward()})
    options.build(run, **shared).run(Artifacts())
    counts = [row["compile/count"] for row in run.rows]
    assert sum(counts[:3]) > 0
    assert counts[3:] == [0, 0, 0, 0]


def growing(inner):
    """Wrap an engine: count a rollout's requests on the device, and at the fourth one more than asked."""
    rollouts = []

    def look(requests):
        if requests[0].temperature > 0:
            rollouts.append(len(requests))
        rows = jax.numpy.ones(len(requests) + (len(rollouts) == 4))
        assert jax.numpy.sum(rows) >= len(requests)

    return InterferingEngine(inner=inner, look=look)


def test_twin_a_shape_that_changes_is_seen_to_compile(run, shared):
    jax.clear_caches()
    engine = Around(shared["engine"], growing)
    replace(OPTIONS, steps=6).build(run, **{**shared, "engine": engine}).run(Artifacts())
    counts = [row["compile/count"] for row in run.rows]
    assert [step for step, count in enumerate(counts) if step > 2 and count] == [4]


def scaled(inner, factor=1.05):
    """Wrap an engine: multiply every weight of its first layer by a factor."""

    def change(params):
        return {**params, "layers": jax.tree.map(lambda leaf: leaf.at[0].multiply(factor), params["layers"])}

    return InterferingEngine(inner=inner, change=change)


def test_an_engine_with_a_scaled_layer_stops_the_run_within_a_step_and_saves(run, shared):
    engine = Around(shared["engine"], scaled)
    with pytest.raises(
        LimitExceeded, match=r"stopped at step 1 of 'rl': mismatch/.*above max_mismatch="
    ) as end:
        OPTIONS.build(run, **{**shared, "engine": engine}).run(Artifacts())
    assert end.value.exit_status == 3
    assert [row["step"] for row in run.rows] == [0, 1]
    assert run.rows[1][ABSOLUTE] > FLOAT32_LIMIT
    assert run.manager.steps() == [1]
    run.manager.verify(1)


@dataclass(frozen=True)
class Built:
    """A reward as a component that builds to it."""

    reward: Any

    def build(self, _):
        return self.reward


def failing_from(step: int):
    """A reward that raises from the n-th time on that it is asked, and then also for each sample alone."""
    asked = []

    def function(samples):
        asked.append(len(samples) == OPTIONS.prompts_per_step * OPTIONS.samples_per_prompt)
        if sum(asked) >= step:
            raise ValueError("not today")
        return [float(sum(sample.tokens[sample.sampled] % 2)) for sample in samples]

    return {"odd": Built(function)}


def test_a_rollout_that_nothing_can_be_learned_from_is_repeated_on_resume(run, shared, tmp_path):
    """The run ends without its step, and is equal to one that never failed once it has gone on."""
    with pytest.raises(LimitExceeded) as end:
        replace(OPTIONS, rewards=failing_from(3)).build(run, **shared).run(Artifacts())
    assert end.value.exit_status == 3
    line = str(end.value)
    assert line.startswith("stopped before step 3 of 'rl' was done: no completion of the rollout could be")
    assert re.search(rf"failed on 16 of 16 completions: ValueError: not today \({__file__}:\d+\); mend", line)
    assert line.endswith(f"; saved at step 2; go on with: {run.resume_command}")
    assert [row["step"] for row in run.rows] == [0, 1, 2]
    written = (run.root.path / "samples/rollouts.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in written].count(3) == 4 * OPTIONS.samples_per_prompt
    sinks = [KeptRows(), KeptRows()]
    paths = (run.root.path, tmp_path / "never")
    again, never = (make_run(path, "rl", sink) for path, sink in zip(paths, sinks, strict=True))
    again.resume_from = again.manager.verify(2)
    for each in (again, never):
        replace(OPTIONS, rewards=failing_from(99)).build(each, **shared).run(Artifacts())
    names = ("step", "reward/mean", "policy/loss")
    resumed, whole = ([[row[name] for name in names] for row in sink.rows[-3:]] for sink in sinks)
    assert [row[0] for row in resumed] == [3, 4, 5]
    assert resumed == whole


def test_twin_the_engine_as_it_is_stays_below_a_tenth_of_the_limit(run, shared):
    engine = Around(shared["engine"], lambda inner: scaled(inner, factor=1.0))
    OPTIONS.build(run, **{**shared, "engine": engine}).run(Artifacts())
    assert max(row[ABSOLUTE] for row in run.rows[1:]) < FLOAT32_LIMIT / 10


def test_plan_gives_the_arithmetic_and_writes_nothing(run, shared):
    plan = OPTIONS.build(run, **shared).plan()
    assert plan["completions per rollout"] == "4 prompts x 4 samples"
    assert plan["rows per update"].startswith("8 = 1 x 8 x 1")
    assert plan["tokens per row"] == 11 + 6
    assert (plan["rollouts"], plan["optimizer steps"], plan["prompts"]) == (5, 10, 12)
    assert plan["epochs"] == round(5 * 4 / 12, 2)
    share = 1 - (sum(len("ab" * (i % 6) + "?") for i in range(12)) / 12 + 6) / (11 + 6)
    assert plan["padding"].startswith(f"{share:.0%} of the tokens or more")
    assert re.fullmatch(r"rollout \S+ \+ update \S+", plan["FLOPs per step (estimate)"])
    shares = re.findall(r"(\w+) (\d+)%", plan["FLOPs of the stage (estimate)"])
    assert [part for part, _ in shares] == ["rollout", "update", "evaluation"]
    assert 99 <= sum(int(percent) for _, percent in shares) <= 101
    assert not run.root.path.exists()


def test_a_rollouts_work_is_that_of_each_token_over_what_stands_before_it(run, shared, records):
    long = {**shared, "data": records("ab" * 100, "c" * 300)}
    stage = OPTIONS.build(run, **long)
    model, num_new = Workbench.of(run, Artifacts(), long).received.bundle.model, OPTIONS.max_new_tokens
    mean = (200 + 300) / 2
    prompt = sum(forward_flops(model, 1, place + 0.5) for place in range(250))
    completion = sum(forward_flops(model, 1, mean + place + 0.5) for place in range(num_new))
    expected = OPTIONS.prompts_per_step * (prompt + OPTIONS.samples_per_prompt * completion)
    told = re.match(r"rollout (\S+) \+", stage.plan()["FLOPs per step (estimate)"])[1]
    assert told == f"{expected:.2g}"


def test_prompts_that_are_too_long_are_left_out_and_said(run, shared, capsys):
    replace(OPTIONS, max_prompt_tokens=5).build(run, **shared).plan()
    assert "6 of 12 prompts are longer than stages.rl.max_prompt_tokens=5" in capsys.readouterr().err
