"""`train -m`: one run for each combination of values, chains included."""

import pytest

pytestmark = pytest.mark.usefixtures("toy")


def runs(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs").iterdir() if path.name != "sweeps")


def test_train_when_swept_then_runs_are_numbered_by_the_job_below_one_name(train, tmp_path):
    status, _, err = train("-m", "stage=toy,toy+toy", "run.name=x")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["x-0", "x-1"]
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "site-burnish-toy"}
    kept = {path.relative_to(tmp_path / "runs/sweeps").as_posix() for path in tmp_path.rglob("sweeps/**/*")}
    assert kept == {"x", "x/lock", "x/multirun.yaml", "x/jobs", "x/jobs/0.json", "x/jobs/1.json"}


def test_train_when_a_sweep_has_no_name_then_its_chain_and_time_are_one(train, tmp_path):
    for words in (["stage=toy", "run.seed=0,1"], ["stage=toy,other", "engine=echo"]):
        status, _, err = train("-m", *words)
        assert (status, err) == (0, "")
    sweeps = sorted(path.name for path in (tmp_path / "runs/sweeps").iterdir())
    assert [name.partition("-")[0] for name in sweeps] == ["sweep", "toy"]
    assert runs(tmp_path) == [f"{sweep}-{number}" for sweep in sweeps for number in (0, 1)]


def test_train_when_hydra_is_told_where_a_sweep_goes_then_it_goes_there(train, tmp_path):
    words = ["-m", "stage=toy", "run.seed=0,1", "run.name=x"]
    status, _, err = train(*words, "hydra.sweep.dir='mine/it s'")
    assert (status, err) == (0, "")
    (tmp_path / "my.yaml").write_text("hydra: {sweep: {dir: 'yours/${hydra:job.name}'}}")
    status, _, err = train("my.yaml", *words, "run.output_dir=others")
    assert (status, err) == (0, "")
    for directory in ("mine/it s", "yours/train"):
        assert {path.name for path in (tmp_path / directory).iterdir()} == {"jobs", "lock", "multirun.yaml"}
    assert runs(tmp_path) == ["x-0", "x-1"]
    assert not (tmp_path / "runs/sweeps").exists()


def test_train_when_hydra_keeps_files_of_a_job_then_they_lie_below_the_sweep(train, tmp_path):
    words = ["hydra.output_subdir=.hydra", "hydra.sweep.subdir='${hydra:job.override_dirname}/of'"]
    status, _, err = train("-m", "stage=toy", "run.seed=0,1", "run.name=x", *words)
    assert (status, err) == (0, "")
    for seed in (0, 1):
        job = tmp_path / f"runs/sweeps/x/run.name=x,run.seed={seed},stage=toy/of"
        assert f"- run.seed={seed}" in (job / ".hydra/overrides.yaml").read_text()


def test_train_when_a_name_holds_what_differs_then_it_is_the_run(train, tmp_path):
    status, _, err = train("-m", "stage=toy", "run.seed=3,4", "run.name=of-${run.seed}-${hydra:job.num}")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["of-3-0", "of-4-1"]
    status, _, err = train("-m", "stage=toy", "run.name=a,b")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["a", "b", "of-3-0", "of-4-1"]


def test_train_when_the_place_of_runs_has_quotes_then_the_sweep_lies_there(train, tmp_path):
    status, _, err = train("-m", "stage=toy", "run.seed=3,4", "run.name=x", 'run.output_dir="it\'s \\ here"')
    assert (status, err) == (0, "")
    names = sorted(path.name for path in (tmp_path / "it's \\ here").iterdir())
    assert names == ["sweeps", "x-0", "x-1"]


def test_train_when_two_jobs_would_write_one_run_then_none_begins(train, tmp_path):
    words = ["-m", "stage=toy", "run.seed=3,4"]
    status, _, err = train(*words, "run.name=of-${stage}", "+stage=1")
    assert status == 2
    status, out, err = train(*words, "run.name=of-${jax.mesh.dp}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "job 1 (run.seed=4): run.name: job 0 writes 'runs/of-1' too; leave run.name to one word" in err
    assert not (tmp_path / "runs").exists()
    for name in ("of", "of-${jax.mesh.dp}-${run.seed}"):
        status, _, err = train(*words, f"run.name={name}")
        assert (status, err) == (0, "")


def test_train_when_the_mode_is_multirun_then_it_is_swept(train, tmp_path):
    status, _, err = train("hydra.mode=MULTIRUN", "stage=toy", "stages.toy.steps=1,2", "run.name=x")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["x-0", "x-1"]


def test_train_when_a_directory_of_presets_is_given_then_jobs_have_it(train, tmp_path):
    (tmp_path / "presets/mine").mkdir(parents=True)
    (tmp_path / "presets/mine/few.yaml").write_text("# @package _global_\nstages: {toy: {steps: 1}}\n")
    words = ["-m", "stage=toy", "+mine=few", "run.seed=0,1", "run.name=x"]
    status, _, err = train(*words, "--config-dir", "absent")
    assert (status, err.count("\n")) == (2, 1)
    assert "name one that exists" in err
    status, _, err = train(*words, "--config-dir", "presets", "hydra.searchpath=[file://presets]")
    assert (status, err) == (2, "train: --config-dir: hydra.searchpath is set too; give one of them\n")
    status, _, err = train(*words, "--config-dir", "presets")
    assert (status, err) == (0, "")
    assert "steps: 1" in (tmp_path / "runs/x-1/config.yaml").read_text()


@pytest.mark.parametrize("word", ["hydra.mode=MULTIRUN", "++hydra.mode=MULTIRUN", "mine.yaml"])
def test_train_when_the_mode_is_multirun_then_a_dry_run_leaves_nothing(train, tmp_path, word):
    (tmp_path / "mine.yaml").write_text("hydra: {mode: MULTIRUN}")
    before = sorted(tmp_path.iterdir())
    status, _, err = train(word, "stage=toy", "--dry-run")
    assert (status, err) == (0, "")
    assert sorted(tmp_path.iterdir()) == before


def test_train_when_not_swept_then_options_of_hydra_still_hold(train, tmp_path):
    status, _, err = train(
        "stage=toy", "hydra.run.dir=kept", "hydra.output_subdir=.hydra", "run.name=${hydra:job.name}-1"
    )
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["train-1"]
    assert (tmp_path / "kept" / ".hydra" / "overrides.yaml").is_file()


def test_train_when_hydra_is_asked_for_nothing_then_a_config_may_still_name_it(train, tmp_path):
    words = [
        "run.name=${hydra:job.name}-${hydra:runtime.choices.stage}",
        "run.output_dir=${hydra:runtime.output_dir}/runs",
    ]
    status, _, err = train("stage=toy", *words)
    assert (status, err) == (0, "")
    assert runs(tmp_path) == ["train-toy"]


def test_train_when_swept_and_one_value_is_bad_then_one_line(train):
    status, _, err = train("stage=toy", "-m", "stages.toy.steps=1,abc")
    assert (status, err.count("\n")) == (2, 1)
    assert "job 1 (stages.toy.steps=abc): stages.toy.steps: expected a whole number" in err


def test_train_when_swept_over_chains_then_options_of_blocks_outside_the_default_chain_hold(train, tmp_path):
    status, _, err = train("-m", "stage=toy,toy+toy", "stages.toy.steps=7", "run.name=x")
    assert (status, err) == (0, "")
    for name in ("x-0", "x-1"):
        assert "steps: 7" in (tmp_path / "runs" / name / "config.yaml").read_text(encoding="utf-8")
    assert "toy_2:" in (tmp_path / "runs" / "x-1" / "config.yaml").read_text(encoding="utf-8")


def test_train_when_swept_over_chains_then_new_labels_and_inner_slots_hold(train, tmp_path, distribution):
    source = (
        "from dataclasses import dataclass\nfrom typing import Any\n"
        "from burnish.platform.configuration.slot_fields import slots\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Wrap:\n"
        "    more: Any = slots('engine', [])\n    def build(self): ...\n"
    )
    distribution("wrap", {"engine": {"wrap": "wrap:Wrap"}}, {"wrap.py": source})
    words = ["stages.toy.rewards.more=length,size", "engine=wrap", "engine.more.a=echo", "run.name=x"]
    status, _, err = train("-m", "stage=toy,toy+toy", *words)
    assert (status, err) == (0, "")
    configs = [(tmp_path / "runs" / name / "config.yaml").read_text() for name in runs(tmp_path)]
    assert len(configs) == 4
    assert all("repeat: 1" in text and "more:\n" in text for text in configs)
    assert sum("use: size" in text for text in configs) == 2


@pytest.mark.parametrize("words", [("-m", "--help"), ("hydra.mode=MULTIRUN", "--cfg", "hydra")])
def test_train_when_swept_and_asked_to_show_something_then_nothing_runs(train, tmp_path, words):
    before = sorted(tmp_path.iterdir())
    status, out, err = train("stage=toy", *words)
    assert (status, err) == (0, "")
    assert "train -m stage=a,a+b" in out or "mode: MULTIRUN" in out
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("run.seed=shuffle(0,1,2)", "run.seed"),
        ("run.seed=shuffle(range(3))", "run.seed"),
        ("+stages.toy.note=[shuffle([a,b,c])]", "+stages.toy.note"),
        ("params.yaml", "run.seed"),
    ],
)
def test_train_when_values_are_shuffled_then_they_are_to_be_written_out(train, tmp_path, word, key):
    (tmp_path / "params.yaml").write_text("hydra: {sweeper: {params: {run.seed: 'shuffle( 0,1 )'}}}")
    status, out, err = train("-m", "stage=toy", word)
    said = f"train: {key}: shuffle(...) draws another order each time; write the values out\n"
    assert (status, out, err) == (2, "", said)
    assert not (tmp_path / "runs").exists()
    status, _, err = train("-m", "stage=toy", "run.seed=2,0,1", "run.name='not shuffle(d)'")
    assert (status, err) == (0, "")
    assert runs(tmp_path) == [f"not shuffle(d)-{number}" for number in range(3)]
