"""Sweeps by plugins of Hydra's: joblib starts jobs side by side, Optuna decides on the next ones."""

import json
import os
import re
import shlex
import signal
import subprocess
import time

import pytest
import yaml

pytestmark = pytest.mark.slow

SMALL = (
    *("stage=sft", "stages.sft.rows_per_step=4", "stages.sft.optimizer.schedule=constant", "engine.slots=8"),
    *("evaluation.num_problems=8", "data.num_problems=2000", "data.num_demonstrations=64", "run.name=x"),
    *("~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.sweep_metric=train/loss"),
)
JOBLIB = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
OPTUNA = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1", "run.sweep_direction=minimize")
RATE = "stages.sft.optimizer.learning_rate=tag(log,interval(1e-4,1e-1))"


@pytest.fixture(scope="module")
def installed(environment):
    return environment("burnish-sft", "hydra-joblib-launcher", "hydra-optuna-sweeper")


@pytest.fixture
def train(installed, tmp_path):
    """Run the command there and return its end, shown where it is not the expected one."""

    def call(*words, status=0):
        done = installed.run("train", *words, cwd=tmp_path)
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def records(tmp_path):
    jobs = (tmp_path / "runs/sweeps/x/jobs").iterdir()
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(jobs)]


def losses(tmp_path):
    rows = {}
    for run in sorted((tmp_path / "runs").glob("x-*")):
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        rows[run.name] = [json.loads(line).get("train/loss") for line in lines]
    return rows


def test_joblib_runs_the_jobs_of_a_file_side_by_side_as_one_after_another_does(train, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mine.py").write_text("def half(samples):\n    return [0.5] * len(samples)\n")
    file = "data: {num_prompts: 32}\nevaluation: {rewards: {half: 'mine:half'}}\nstages: {sft: {steps: 3}}\n"
    (tmp_path / "here/my.yaml").write_text(file)
    words = ("here/my.yaml", *SMALL, "run.seed=0,1,2,3")
    train("-m", *words)
    one_by_one = losses(tmp_path)
    done = train(*JOBLIB, *words, "run.output_dir=beside", "hydra.sweep.dir=swept")
    assert names(tmp_path / "beside") == [f"x-{seed}" for seed in range(4)]
    assert names(tmp_path / "swept") == ["jobs", "lock", "multirun.yaml"]
    (tmp_path / "runs").rename(tmp_path / "before")
    (tmp_path / "beside").rename(tmp_path / "runs")
    assert losses(tmp_path) == one_by_one
    assert len({tuple(rows) for rows in one_by_one.values()}) == 4
    assert "4 of 4 jobs, highest train/loss first" in done.stdout
    assert "eval/half" in (tmp_path / "runs/x-3/metrics.jsonl").read_text()


def test_a_job_that_fails_in_another_process_loses_no_other(train, tmp_path):
    words = (*SMALL, "stages.sft.steps=2", "data=jsonl,arithmetic", "run.seed=0,1")
    done = train(*JOBLIB, *words, status=2)
    assert done.stderr.count("\n") == 1
    words = (*SMALL, "stages.sft.steps=2", "jax.mesh.dp=1,2", "run.seed=0,1")
    done = train(*JOBLIB, *words, status=2)
    assert [(job["job"], job["phase"]) for job in records(tmp_path)] == [
        *[(job, "complete") for job in (0, 1)],
        *[(job, "failed") for job in (2, 3)],
    ]
    assert "train: 2 of 4 jobs failed: 2, 3; the table says why" in done.stderr
    assert "jax.mesh: dp=2" in done.stdout


def test_ctrl_c_saves_the_jobs_of_all_processes_and_the_sweep_is_gone_on_with(installed, train, tmp_path):
    words = (*SMALL, "stages.sft.steps=400", "run.seed=0,1,2", "checkpoint.save_every_steps=0")
    command = [str(installed.directory / "bin/train"), *JOBLIB, *words]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    running = subprocess.Popen(
        *(command,), cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    while len([*tmp_path.glob("runs/x-*/metrics.jsonl")]) < 2:
        assert running.poll() is None
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130, said
    assert [job["phase"] for job in records(tmp_path)] == ["interrupted"] * 3
    assert len([*tmp_path.glob("runs/*/stages/1-sft/checkpoints/step_*/manifest.json")]) == 2
    found = re.search(r"stopped by a signal in job 0; go on with: train (.*)", said)
    assert found is not None, said
    train(*shlex.split(found[1]))
    resumed = losses(tmp_path)
    (tmp_path / "runs").rename(tmp_path / "before")
    train(*JOBLIB, *words)
    assert losses(tmp_path) == resumed


def test_optuna_gets_the_values_and_its_best_is_the_first_of_the_table(train, tmp_path):
    words = (*SMALL, "stages.sft.steps=3", RATE, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2")
    done = train(*OPTUNA, *words)
    jobs = records(tmp_path)
    assert len(jobs) == 4
    found = yaml.safe_load((tmp_path / "runs/sweeps/x/optimization_results.yaml").read_text())
    best = min(jobs, key=lambda job: job["value"])
    assert found["best_value"] == best["value"] < max(job["value"] for job in jobs)
    table = done.stdout.partition("4 of 4 jobs, lowest train/loss first\n")[2].splitlines()
    assert table[1].split()[0] == best["run"]
    assert float(table[1].split()[2]) == found["best_params"][RATE.partition("=")[0]]

    again = train(*OPTUNA, *words, "checkpoint.resume_from=latest", *JOBLIB[1:])
    assert again.stderr.count("is complete: nothing to resume") == 4
    assert [(job["run"], job["value"]) for job in records(tmp_path)] == [
        (job["run"], job["value"]) for job in jobs
    ]


def test_optuna_is_told_what_it_lacks_before_the_first_job(train, tmp_path):
    words = [word for word in SMALL if "sweep_metric" not in word]
    done = train(*OPTUNA, *words, RATE, status=2)
    assert done.stderr.count("\n") == 1
    assert "hydra/sweeper=optuna decides by what each job is worth; set run.sweep_metric" in done.stderr
    done = train(*OPTUNA, *SMALL, RATE, "stages.sft.steps=interval(1,3)", status=2)
    assert done.stderr.count("\n") == 1
    assert "stages.sft.steps: expected a whole number, got 1.0" in done.stderr
    assert not (tmp_path / "runs").exists()
    train(*OPTUNA, *SMALL, RATE, "stages.sft.steps=int(interval(1,3))", "--dry-run")
    assert not (tmp_path / "runs").exists()


def test_optuna_hears_of_jobs_that_fail(train, tmp_path):
    words = (*SMALL, "stages.sft.steps=2", RATE, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1")
    done = train(
        *OPTUNA, *words, "run.sweep_metric=trains/loss", "hydra.sweeper.max_failure_rate=1", status=2
    )
    assert [job["phase"] for job in records(tmp_path)] == ["failed", "failed"]
    assert (
        "run.sweep_metric=trains/loss: no stage has recorded it (did you mean 'train/loss'?)" in done.stdout
    )
    assert done.stderr.splitlines()[-1] == "train: 2 of 2 jobs failed: 0, 1; the table says why"
