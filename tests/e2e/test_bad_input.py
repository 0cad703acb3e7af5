"""What a user can get wrong: one line (what, where, what is legal, what to do), status 2, and no harm done.

Most cases run in this process; one of each family is a process of its own.
"""

import os
import subprocess

import pytest

from burnish.llm.testing import tiny_qwen2
from burnish.llm.weights import save_huggingface


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("stage=stf", ["unknown stage 'stf' (did you mean 'sft'?)", "eval", "rl", "burnish-sft"]),
        ("stage=sft+", ["stage='sft+'", "write stage=a or stage=a+b"]),
        (
            "stage=sft engine=vllm",
            ["unknown engine 'vllm'", "in_process (burnish-sample", "package.module:Symbol"],
        ),
        (
            "stage=rl stages.rl.advantage=grup_mean",
            ["unknown advantage 'grup_mean'", "group_mean (burnish-rl"],
        ),
        (
            "stage=rl +reward@stages.rl.rewards.x=exact",
            ["unknown reward 'exact' (did you mean 'exact_match'?)"],
        ),
        ("stage=sft engine=os:nothing", ["engine 'os:nothing'", "module 'os' has no 'nothing'"]),
        ("stage=sft engine=absent:X", ["engine 'absent:X' fails to import", "No module named 'absent'"]),
        (
            "stage=sft +experiment=cntrl",
            ["unknown experiment 'cntrl' (did you mean 'control'?)", "worked_only"],
        ),
        (
            "stage=sft stages.sft.stpes=3",
            ["stages.sft.stpes: unknown key (did you mean 'steps'?)", "rows_per_step"],
        ),
        (
            "stage=sft +stages.sft.stpes=3",
            ["stages.sft.stpes: unknown key (did you mean 'steps'?)", "rows_per_step"],
        ),
        ("stage=sft lr=1", ["lr: unknown key; did you mean stages.sft.optimizer.learning_rate?"]),
        ("steps=10", ["steps: unknown key; did you mean stages.sft.steps or stages.rl.steps?"]),
        ("sft.steps=10", ["sft.steps: unknown key; did you mean stages.sft.steps?"]),
        ("stages.sft.lr=1", ["stages.sft.lr: unknown key; did you mean stages.sft.optimizer.learning_rate?"]),
        (
            "stage=rl+rl stages.rl.lr=1",
            ["stages.rl.lr: unknown key; did you mean stages.rl.optimizer.learning_rate?"],
        ),
        ("stage=sft +nonsense=3", ["nonsense: unknown key", "legal keys: run, jax, checkpoint, logging"]),
        ("stage=sft +run.names=x", ["run.names: unknown key (did you mean 'name'?)"]),
        ("stage=sft stages.rl.steps=3", ["stages.rl: the chain has no such block", "it has sft"]),
        ("stage=sft +engine.slot=3", ["engine.slot: unknown key (did you mean 'slots'?)", "decode_steps"]),
        (
            "stage=sft +evaluation.rewards.exact_match.pattern=x",
            ["evaluation.rewards.exact_match.pattern: unknown key", "answer_pattern"],
        ),
        ("stage=rl +stages.rl.optimizer.lr=1", ["stages.rl.optimizer.lr: unknown key", "learning_rate"]),
        ("stage=sft stages.sft.steps=many", ["stages.sft.steps: expected a whole number, got 'many'"]),
        ("stage=sft stages.sft.steps=1.5", ["stages.sft.steps: expected a whole number, got 1.5"]),
        ("stage=sft stages.sft.steps=0", ["stages.sft.steps=0 is out of range; legal: 1 or more"]),
        (
            "stage=sft stages.sft.aggregation=mean",
            ["stages.sft.aggregation", "'mean'", "token_mean", "sequence_mean"],
        ),
        ("stage=sft jax.deterministic=perhaps", ["jax.deterministic", "'perhaps'", "true"]),
        ("stage=sft jax.mesh.dp=0", ["jax.mesh.dp=0 is out of range; legal: 1 or more"]),
        ("stage=sft logging=loud", ["logging"]),
        ("stage=sft engine.slots=0", ["engine.slots=0 is out of range; legal: 1 or more"]),
        (
            "stages.rl.training.frozen=[nope]",
            ["stages.rl.training.frozen: 'nope' matches no parameter", "embed"],
        ),
        ("stages.sft.training.frozen=['*']", ["stages.sft.training.frozen=['*'] freezes every parameter"]),
        (
            "stage=rl stages.rl.objective.clip_low=1",
            ["stages.rl.objective.clip_low=1 is out of range; legal: above 0 and below 1"],
        ),
        ("stage=sft data=jsonl", ["data.path: a value is required; set data.path=..."]),
        ("absent.yaml", ["cannot read 'absent.yaml': there is no such file"]),
        (
            "stage=rl stages.rl.updates_per_rollout=5",
            ["stages.rl.updates_per_rollout=5 does not divide prompts_per_step=32", "[1, 2, 4"],
        ),
        ("stage=sft run.name=../outside", ["run.name='../outside'", "run.output_dir"]),
        ("stage=sft checkpoint.resume_from=latest", ["checkpoint.resume_from=latest", "set run.name="]),
        ("stage=sft checkpoint.resume_from=absent/step_2", ["checkpoint.resume_from", "absent/step_2"]),
        (
            "stage=sft checkpoint.resume_from=newest run.name=x",
            ["checkpoint.resume_from='newest'", "latest, best, or a path"],
        ),
        (
            "stage=rl stages.rl.temperature=nan",
            ["temperature=nan is out of range; legal: above 0 and finite"],
        ),
        (
            "stage=rl stages.rl.max_mismatch=-1",
            ["max_mismatch=-1 is out of range; legal: above 0, or 'auto'"],
        ),
        ("checkpoint.save_total_limit=0", ["save_total_limit=0 is out of range; legal: 1 or more, or null"]),
        ("stages.sft.steps=3000000000", ["steps=3000000000 is out of range; legal: 1 to 2147483647"]),
        ("stages.rl.training.dropout=.inf", ["stages.rl.training.dropout=inf is out of range"]),
        ("model.num_layers=-2", ["model.num_layers=-2 is out of range; legal: 1 or more"]),
        ("model.rope_theta=inf", ["model.rope_theta=inf is out of range; legal: above 0 and finite"]),
        ("--dryrun", ["unknown flag '--dryrun' (did you mean '--dry-run'?)"]),
        ("stgae=sft", ["stgae: unknown key (did you mean 'stage'?)"]),
        (
            "data.path=x",
            ["data.path: unknown key; choose data=jsonl to set it; legal keys: use, "],
        ),
        ("data=jsonl data.keep=all data.num_digits=3", ["data.keep: unknown key; choose data=arithmetic"]),
        (
            "run.names=x stages.sft.stpes=3",
            ["run.names: unknown key (did you mean 'name'?); legal keys: name"],
        ),
        ("data=jsonl data.keep=all", ["data.keep: unknown key; choose data=arithmetic to set it"]),
        ("stf", ["'stf' is no key=value (did you mean 'sft'?); a chain is given as stage=a+b"]),
        ("sft+lr", ["'sft+lr' is no key=value; a chain is given as stage=a+b"]),
        ("stages.sft", ["'stages.sft' is no key=value; train --help stages.sft says what there is to set"]),
        ("advantage", ["'advantage' is no key=value; train --help advantage says"]),
        ("stage = sft", ["'stage' is no key=value: write stage=value without spaces"]),
        ("run.seed =3", ["'run.seed' is no key=value: write run.seed=... without spaces"]),
        ("run.name=)", ["'run.name=)': this cannot be read; write key=value, special characters in quotes"]),
        ("nonsense", ["'nonsense' is no option: write key=value"]),
        ("sft[", ["'sft[': a character here has to be in quotes; write key=value"]),
        ("engine=", ["engine= has no value; available: in_process"]),
        (
            "stages.rl.reward_weights={x:3",
            ["'stages.rl.reward_weights={x:3': a bracket or a quote is missing or one too many"],
        ),
        ("a/b", ["'a/b': this is no key=value; write key=value"]),
    ],
)
def test_a_config_that_is_not_legal_is_refused(refused, words, said):
    line = refused(*words.split(" "))
    for phrase in said:
        assert phrase in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage: {sft: {}}", ["stage"]),
        ("nonsense: 3", ["my.yaml:1: nonsense: unknown key", "legal keys"]),
        ("# mine\nstgae: sft+rl", ["my.yaml:2: stgae: unknown key (did you mean 'stage'?)"]),
        (
            "run: {seed: 3}\nlr: 1e-4",
            ["my.yaml:2: lr: unknown key; did you mean stages.sft.optimizer.learning_rate or stages.rl"],
        ),
        (
            "stages:\n  sft:\n    lr: 3",
            ["my.yaml:3: stages.sft.lr: unknown key; did you mean stages.sft.optimizer.learning_rate?"],
        ),
        (
            "data:\n  test_path: a.jsonl",
            ["my.yaml:2: data.test_path: unknown key; choose data=jsonl to set it; legal keys: num_problems"],
        ),
        ("jax:\n  mesh:\n    dp: 0", ["my.yaml:3: jax.mesh.dp=0 is out of range"]),
        ("run: {names: x}", ["run.names", "unknown key", "'name'"]),
        ("stages: {sft: {use: sft, stpes: 3}}", ["stages.sft.stpes: unknown key (did you mean 'steps'?)"]),
        ("stages: {sft: {use: sft, steps: many}}", ["stages.sft.steps: expected a whole number"]),
        ("stages: {sft: {use: stf}}", ["unknown stage 'stf'"]),
        ("engine: {use: in_process, slot: 3}", ["engine.slot: unknown key (did you mean 'slots'?)"]),
        ("evaluation: {rewards: {a: {use: exact_match, key: x}}}", ["evaluation.rewards.a.key: unknown key"]),
        ("run: [", ["'my.yaml' is no YAML"]),
        ("- run", ["'my.yaml' holds no mapping"]),
    ],
)
def test_a_file_with_a_mistake_is_refused(refused, tmp_path, text, said):
    (tmp_path / "my.yaml").write_text(text)
    line = refused("my.yaml")
    for phrase in said:
        assert phrase in line


def test_what_a_word_says_after_the_file_is_no_mistake_of_the_file(refused, tmp_path):
    (tmp_path / "my.yaml").write_text("jax: {mesh: {dp: 0}}")
    assert refused("my.yaml", "jax.mesh.tp=2").startswith("train: my.yaml:1: jax.mesh.dp=0 is out of range")
    assert refused("my.yaml", "jax.mesh.dp=-1").startswith("train: jax.mesh.dp=-1 is out of range")


def test_a_preset_with_an_unknown_key_is_refused(refused, tmp_path):
    (tmp_path / "presets/experiment").mkdir(parents=True)
    (tmp_path / "presets/experiment/mine.yaml").write_text("# @package _global_\nstages: {sft: {stpes: 3}}\n")
    line = refused("--config-dir", str(tmp_path / "presets"), "stage=sft", "+experiment=mine")
    assert "stages.sft.stpes: unknown key (did you mean 'steps'?)" in line


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (None, [], ["'broken.jsonl' cannot be read: No such file"]),
        (["{}"], [], ["broken.jsonl:1: no field 'prompt'", "set data.prompt_field"]),
        (['{"prompt": "a", "completion": "b"}', "", '{"prompt": '], [], ["broken.jsonl:3: broken JSON"]),
        (['{"prompt": "a", "completion": "b"}', "[1]"], [], ["broken.jsonl:2: a line must be a JSON object"]),
        (
            ['{"prompt": "a long prompt", "completion": "b"}'],
            ["stages.sft.max_length=8"],
            ["stages.sft.data: no prompt leaves room for a token to learn", "raise stages.sft.max_length"],
        ),
        ([""], [], ["'broken.jsonl' is empty"]),
    ],
)
def test_data_that_cannot_be_used_is_refused(refused, tmp_path, lines, options, said, one_stage):
    if lines is not None:
        (tmp_path / "broken.jsonl").write_text("\n".join(lines))
    sft = [word for word in one_stage if not word.startswith("data.")]
    line = refused(*sft, "data=jsonl", "data.path=broken.jsonl", *options)
    for phrase in said:
        assert phrase in line


def test_a_name_whose_run_was_refused_before_its_first_row_is_free(command, refused, tmp_path, one_stage):
    line = refused(*one_stage, "model=pretrained", "model.name_or_path=./absent")
    assert "model.name_or_path='./absent' is no directory" in line
    status, _, err = command(*one_stage, "stages.sft.steps=1")
    assert status == 0, err
    assert len((tmp_path / "runs/x/metrics.jsonl").read_text().splitlines()) == 2


def test_weights_that_are_no_numbers_are_refused_as_they_are_read(refused, tmp_path, one_stage):
    model = tiny_qwen2(vocab_size=260)
    params = model.init(0)
    params["embed"][7] = float("nan")
    save_huggingface(tmp_path, model, params, "float32")
    line = refused(*one_stage, "model=pretrained", f"model.name_or_path={tmp_path}", "tokenizer=bytes")
    assert "`model.embed_tokens.weight` has entries that are NaN or infinite: copy it again" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "stages.sft.training.micro_batch_rows=3",
            ["stages.sft.training.micro_batch_rows=3 ", "1, 2, 4, all"],
        ),
        ("jax.mesh.dp=3", ["jax.mesh: dp=3", "must be one of 1"]),
    ],
)
def test_what_does_not_divide_is_refused_with_what_would(refused, words, said, one_stage):
    line = refused(*one_stage, words)
    for phrase in said:
        assert phrase in line


def test_rl_of_a_chain_is_checked_before_sft_begins(refused, short):
    line = refused(*short, "stages.rl.training.micro_batch_rows=5")
    assert "stages.rl.training.micro_batch_rows=5 cannot divide a batch of 8 rows" in line


def test_rows_that_the_devices_do_not_divide_are_refused_with_what_would(train, one_stage, only_line):
    words = train.command([*one_stage, "jax.mesh.dp=2", "stages.sft.rows_per_step=5"])
    env = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=600)
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert "a batch of 5 rows cannot be divided" in line
    assert "4 or 6 rows could" in line
    assert not train.output.exists()


def test_an_output_directory_that_cannot_be_written_is_refused(train, tmp_path, one_stage, only_line):
    (tmp_path / "file").write_text("kept")
    words = [*one_stage, f"run.output_dir={tmp_path / 'file/below'}"]
    ended = subprocess.run(
        [train.command([])[0], *words], capture_output=True, text=True, check=False, timeout=600
    )
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert f"run.output_dir: cannot write to '{tmp_path / 'file/below/x'}': Not a directory" in line
    assert "set run.output_dir to a directory you can write to" in line
    assert (tmp_path / "file").read_text() == "kept"


def test_a_plugin_that_fails_to_import_is_named_with_its_distribution(
    train, tmp_path, monkeypatch, one_stage, only_line
):
    info = tmp_path / "site/burnish_bad-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: burnish-bad\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[burnish.engine]\nbad = burnish_bad:Bad\n")
    (tmp_path / "site/burnish_bad.py").write_text("raise OSError('libcuda.so is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    ended = train(*one_stage, "engine=bad")
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    cause = "OSError: libcuda.so is missing"
    assert f"engine 'bad' of burnish-bad 2.0 (burnish_bad:Bad) fails to import: {cause}" in line
    assert not train.output.exists()


def test_keep_best_of_a_statistic_that_no_stage_here_records_is_refused(command, one_stage):
    words = [word.replace("steps=400", "steps=2") for word in one_stage]
    status, _, err = command(*words, "checkpoint.keep_best=policy/ratio")
    assert (status, err.count("\n")) == (2, 1)
    assert "checkpoint.keep_best=policy/ratio: no row has this metric" in err
