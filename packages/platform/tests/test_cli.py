import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.platform import cli, run
from burnish.platform.errors import ConfigError, Interrupted, LimitExceeded

pytestmark = pytest.mark.usefixtures("toy")

BROKEN = {"engine": {"bad": "burnish_bad:Bad"}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("stage=nope", "unknown stage 'nope'; no installed distribution provides it"),
        ("stage=tyo", "unknown stage 'tyo' (did you mean 'toy'?)"),
        ("stage=toy+", "write stage=a or stage=a+b"),
        ("stage=toy engine=ecoh", "unknown engine 'ecoh' (did you mean 'echo'?); installed:"),
        ("stage=toy engine=no_module:Echo", "engine 'no_module:Echo' fails to import: ModuleNotFoundError"),
        ("stage=toy engine=burnish_toy:Ecoh", "module 'burnish_toy' has no 'Ecoh' (did you mean 'Echo'?)"),
        ("stage=toy stages.toy.advantage=nope", "unknown advantage 'nope'"),
        ("stage=toy +sink@logging.sinks.two=nope", "unknown sink 'nope'"),
        (
            "stage=toy stages.toy.stepz=3",
            "stages.toy.stepz: unknown key (did you mean 'steps'?); legal keys: use",
        ),
        ("stage=toy +stages.toy.stepz=3", "stages.toy.stepz: unknown key (did you mean 'steps'?)"),
        ("stage=toy engine.repaet=3", "engine.repaet: unknown key (did you mean 'repeat'?)"),
        ("stage=toy rnu.seed=3", "rnu: unknown key (did you mean 'run'?)"),
        ("stage=toy +extra=3", "extra: unknown key; legal keys: run"),
        ("stage=toy stages.other.steps=3", "stages.other: the chain has no such block; it has toy"),
        (
            "stage=toy +stages.other.steps=3",
            "stages.other: the chain stage=toy has no such block; it has toy",
        ),
        (
            "stage=toy stages.toy.data.num_digits=3",
            "+data@stages.toy.data=arithmetic stages.toy.data.num_digits=3",
        ),
        ("stage=other data=jsonl", "data: no stage of the chain has this slot"),
        ("stage=toy advantage=toy_mean", "did you mean advantage@stages.toy.advantage="),
        ("stage=toy checkpoint=orbax", "did you mean checkpoint@checkpoint.backend="),
        ("stage=toy stages.toy.steps=abc", "stages.toy.steps: expected a whole number, got 'abc'"),
        ("stage=toy run.seed=1.5", "run.seed: expected a whole number, got 1.5"),
        ("stage=toy run.seed=${nope}", "run.seed: Interpolation key 'nope' not found"),
        ("stage=toy run.seed=[", "'run.seed=[': "),
        ("stage=toy engine.use=slow", "engine.use: 'slow' contradicts the chosen 'echo'"),
        ("stage=toy engine=slow", "engine.address: a value is required; set engine.address=..."),
        ("stage=toy data=jsonl", "data.path: a value is required; set data.path=..."),
        ("stage=toy +experiment=shrot", "unknown experiment 'shrot' (did you mean 'short'?); available:"),
        ("absent.yaml", "cannot read 'absent.yaml': there is no such file"),
        ("absent.yaml other.yaml", "one file at most"),
        ("--dry-rum", "unknown flag '--dry-rum' (did you mean '--dry-run'?)"),
        ("--cfg jbo", "--cfg: expected job or hydra or all after it, got 'jbo'"),
        ("-m --cfg job", "cannot be combined"),
    ],
)
def test_train_when_input_is_bad_then_one_line_and_status_2(train, tmp_path, words, message):
    before = sorted(tmp_path.iterdir())
    status, out, err = train(*words.split(" "))
    assert (status, out) == (2, "")
    assert err.startswith("train: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_train_when_a_plugin_fails_to_import_then_names_its_distribution(train, distribution):
    distribution("burnish-bad", BROKEN, {"burnish_bad.py": "raise OSError('first\\nsecond')"})
    status, out, err = train("stage=toy", "engine=bad")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "engine 'bad' of burnish-bad 1.0 (burnish_bad:Bad) fails to import: OSError: first second" in err


def test_train_when_a_plugin_that_is_not_used_is_broken_then_nothing_happens(train, distribution):
    distribution("burnish-bad", BROKEN, {"burnish_bad.py": "raise OSError('x')"})
    assert train("stage=toy", "--cfg", "job")[0] == 0


def test_train_when_two_distributions_claim_a_stage_then_names_both(train, distribution):
    distribution("burnish-zzz", {"stage": {"toy": "burnish_zzz:Toy"}})
    status, _, err = train("stage=toy")
    assert (status, err.count("\n")) == (2, 1)
    assert "burnish-toy 1.0" in err
    assert "burnish-zzz 1.0" in err


def test_train_when_two_distributions_claim_a_preset_then_names_both(train, distribution):
    files = {"zzz/__init__.py": "", "zzz/conf/__init__.py": "", "zzz/conf/experiment/short.yaml": "{}"}
    distribution("burnish-zzz", {"config": {"zzz": "zzz.conf"}}, files)
    status, _, err = train("stage=toy")
    assert (status, err.count("\n")) == (2, 1)
    assert "burnish-toy 1.0" in err
    assert "burnish-zzz 1.0" in err


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--cfg=job"], ["-c", "job"], ["--print-config"]])
def test_print_when_asked_then_every_option_is_there_and_nothing_runs(train, tmp_path, flags):
    before = sorted(tmp_path.iterdir())
    status, out, err = train("stage=toy", *flags, "stages.toy.steps=8")
    assert (status, err) == (0, "")
    for line in ("name: null", "num_problems: 100000", "use: toy_mean", "steps: 8", "engine: ${engine}"):
        assert line in out
    assert "hydra" not in out
    assert sorted(tmp_path.iterdir()) == before


def test_print_when_a_required_option_is_missing_then_shows_that(train):
    assert "address: ???" in train("stage=toy", "engine=slow", "--cfg", "job")[1]


def test_print_when_in_a_fresh_process_then_imports_nothing_heavy_and_is_quick(tmp_path):
    program = (
        "import sys, json; sys.argv = ['train', 'stage=toy', '--cfg', 'job']\n"
        "from burnish.platform.cli import train\n"
        "try: train()\nexcept SystemExit as ended: print(ended.code)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    *_, code, modules = finished.stdout.splitlines()
    assert code == "0"
    heavy = {"jax", "jaxlib", "transformers", "torch", "flax", "optax", "orbax", "numpy", "tensorboardX"}
    assert not heavy & set(json.loads(modules))
    command = [sys.executable, "-c", program.split("print(json")[0]]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert seconds < 1.5, f"{seconds:.2f} s of processor time"


def test_heavy_check_when_the_component_imports_numpy_then_it_is_seen(distribution, tmp_path):
    source = (
        "import numpy\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Heavy:\n    def build(self): ...\n"
    )
    distribution("burnish-heavy", {"engine": {"heavy": "burnish_heavy:Heavy"}}, {"burnish_heavy.py": source})
    program = (
        "import sys; sys.argv = ['train', 'stage=toy', 'engine=heavy', '--cfg', 'job']\n"
        "from burnish.platform.cli import train\n"
        "try: train()\nexcept SystemExit: print('numpy' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert finished.stdout.splitlines()[-1] == "True"


def test_help_when_asked_then_lists_components_and_flags(train):
    status, out, err = train("--help")
    assert (status or 0, err) == (0, "")
    for words in ("--dry-run", "engine: echo", "slow", "experiment: ", "stage: ", "train [file.yaml]"):
        assert words in out


def test_version_when_asked_then_prints_distributions(train):
    assert "burnish-platform 0." in train("--version")[1]


def runs(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs").iterdir())


def test_train_when_the_chain_is_fine_then_it_runs(train, tmp_path):
    status, _, err = train("stage=toy+toy", "run.name=x", "logging.sinks={}")
    assert (status, err) == (0, "")
    record = json.loads((tmp_path / "runs" / "x" / "run.json").read_text(encoding="utf-8"))
    assert record["overrides"] == ["stage=toy+toy", "run.name=x", "logging.sinks={}"]
    assert record["command"] == ["train", "stage=toy+toy", "run.name=x", "logging.sinks={}"]


def test_train_when_an_override_refers_to_another_then_it_is_recorded_as_typed(train, tmp_path):
    assert train("stage=toy", "run.name=x", "stages.toy.steps=${run.seed}", "run.seed=6")[0] == 0
    record = json.loads((tmp_path / "runs" / "x" / "run.json").read_text(encoding="utf-8"))
    assert "stages.toy.steps=${run.seed}" in record["overrides"]
    assert "steps: 6" in (tmp_path / "runs" / "x" / "config.yaml").read_text(encoding="utf-8")


def test_train_when_a_module_lies_in_the_working_directory_then_it_is_found(train, tmp_path):
    source = (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    def build(self): ...\n"
    )
    (tmp_path / "mine_here.py").write_text(source, encoding="utf-8")
    assert train("stage=toy", "engine=mine_here:Mine", "run.name=x")[0] == 0


def test_train_when_dry_then_prints_the_plan_and_writes_nothing(train, tmp_path):
    before = sorted(tmp_path.iterdir())
    status, out, _ = train("stage=toy", "--dry-run")
    assert status == 0
    assert "rows" in out
    assert sorted(tmp_path.iterdir()) == before


def test_train_when_given_a_file_then_it_is_recorded_and_overridden(train, tmp_path):
    (tmp_path / "my.yaml").write_text(
        "defaults: [override /stage: toy]\nrun: {name: x, seed: 4}\n", encoding="utf-8"
    )
    assert train("my.yaml", "run.seed=5")[0] == 0
    record = json.loads((tmp_path / "runs" / "x" / "run.json").read_text(encoding="utf-8"))
    assert record["config_path"] == "my.yaml"
    assert record["overrides"] == ["my.yaml", "run.seed=5"]
    assert "seed: 5" in (tmp_path / "runs" / "x" / "config.yaml").read_text(encoding="utf-8")


def test_run_when_called_from_python_then_returns_the_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = run(["stage=toy", "run.name=x"])
    assert finished.directory == Path("runs/x")
    with pytest.raises(ConfigError, match=r"stages\.toy\.steps: expected a whole number"):
        run(["stage=toy", "stages.toy.steps=abc"])
    with pytest.raises(ConfigError, match=r"stages\.toy\.stepz: unknown key \(did you mean 'steps'\?\)"):
        run(["stage=toy", "stages.toy.stepz=3"])


def ended(error):
    def command(_):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("a\nb"), 2),
        (LimitExceeded("far"), 3),
        (Interrupted("saved", 15), 143),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_status_when_the_user_can_act_then_one_line(capsys, error, status):
    assert cli.exit_status("train", ended(error), []) == status
    err = capsys.readouterr().err
    assert err.startswith("train: ")
    assert err.count("\n") == 1


def test_exit_status_when_it_is_a_bug_then_it_is_raised():
    with pytest.raises(ZeroDivisionError):
        cli.exit_status("train", ended(ZeroDivisionError()), [])


def test_train_when_a_stage_has_a_bug_then_it_is_raised_as_it_is(train, distribution):
    source = (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Bug:\n"
        "    def build(self, run, **_):\n        return 1 / 0\n"
    )
    distribution("burnish-bug", {"stage": {"bug": "burnish_bug:Bug"}}, {"burnish_bug.py": source})
    with pytest.raises(ZeroDivisionError):
        train("stage=bug")


def test_burnish_when_listing_plugins_then_says_where_they_come_from(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["burnish", "plugins", "list"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert end.value.code == 0
    assert ["engine", "echo", "burnish-toy", "1.0", "burnish_toy:Echo"] in lines
    assert ["config", "toy", "burnish-toy", "1.0", "burnish_toy.conf"] in lines


@pytest.mark.parametrize("words", [["plugin"], ["plugins"], ["tarin"]])
def test_burnish_when_the_command_is_unknown_then_one_line(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["burnish", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("burnish: unknown command")


def test_burnish_when_train_then_is_the_same_command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["burnish", "train", "stage=toy", "--cfg", "job"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert "steps: 3" in capsys.readouterr().out
