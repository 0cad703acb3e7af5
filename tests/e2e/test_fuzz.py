"""Whatever a command line, a user's file, data or a model directory holds: done, one line, or a limit.

Every case goes through the command in this process. `FUZZ_CASES=3000 pytest tests/e2e/test_fuzz.py` looks for
more than CI does, in another place each time; what it finds is a case of its own in `test_found_by_fuzz.py`.
"""

import itertools
import json
import os
import shutil
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from burnish.llm.testing import tiny_qwen2, tiny_qwen2_config
from burnish.llm.weights import save_huggingface
from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import available, resolve

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SMALL = ["data.num_problems=40", "data.num_demonstrations=4", "data.num_prompts=4"]


class Place(NamedTuple):
    """One option: the words that make it reachable, and its path."""

    words: tuple[str, ...]
    path: str


def places(component: Any, path: str, words: tuple[str, ...]) -> list[Place]:
    """Return every option below a component, in every component that its slots may hold."""
    found: list[Place] = []
    for name, option in options_of(component).items():
        where = f"{path}.{name}".lstrip(".")
        found.append(Place(words, where))
        if option.is_section:
            found += places(option.annotation, where, words)
        elif option.slot is not None:
            is_shared = option.slot.kind == "shared"
            key = name if is_shared else f"{where}.x" if option.slot.kind == "slots" else where
            for choice in available(option.slot.slot):
                chosen = resolve(option.slot.slot, choice)
                if isinstance(chosen, type):
                    found += places(chosen, key, (*words, f"{key}={choice}"))
    return found


def every_place() -> list[Place]:
    """Return the options of the sections, and those of each installed stage with what it shares."""
    found = places(Sections, "", ("stage=sft",))
    for stage in available("stage"):
        found += places(resolve("stage", stage), f"stages.{stage}", (f"stage={stage}",))
    return list(dict.fromkeys(found))


NUMBERS = ["0", "-1", "1", "1.5", "1e23", "nan", "inf", "-inf", ".inf", ".nan", "1e-400", "1_000", "0x10"]
LONG = ["9" * 20, "9" * 5000, "x" * 300, "[" * 60 + "]" * 60, "{a: " * 60 + "1" + "}" * 60, "[" * 2000]
TEXTS = ["''", "x", "a b", "'a,b'", "\udcff", "\u65e5", "???", "~", "'a\0b'", "null", "true", "2147483647"]
NESTS = ["[]", "[1]", "[null]", "{}", "{a: 1}", "{1: 2}", "{use: x}", "{use: 3}", "{a: {b: {c: [1]}}}"]
PARTS = ["os:sep", "math:pi", "os:path", "os:getcwd", "builtins:dict", "nowhere:X", "x:", ":x", "a:b:c"]
HYDRA = ["${run.name}", "${nope}", "${stages}", "${oc.env:NO}", "${", "a,b", "[", "range(1,3)", "glob(*)"]
MORE = ["choice(1,2)", "a=b", '"', "\\", "${.}", "${run}", "${now:x}", "int(x)", "$x", "@x", "#", "x%"]

values = st.one_of(
    *(st.sampled_from(kind) for kind in (NUMBERS, LONG, TEXTS, NESTS, PARTS, HYDRA, MORE)),
    st.integers().map(str),
    st.floats().map(str),
)
"""What may stand behind a `=`."""

ODD = ["\ud800", "\0", "a\0b", "${nope}", "${", "???", "os:sep", 10**400, "x" * 300, "1", "in_process", 1e300]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(ODD)
)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | scalars, inner, max_size=3)
    ),
    max_leaves=6,
)
"""What may stand in a YAML or JSON file."""

KEYS = ["stage", "stages.0.steps", "stages", "run", "engine", "hydra", "defaults", "", ".", "stages..steps"]


@st.composite
def words_with_nonsense(draw: Any, where: list[Place]) -> list[str]:
    """Return a command line with a nonsensical value, key or both."""
    place = draw(st.sampled_from(where))
    words = list(place.words)
    if draw(st.integers(0, 9)) == 0:
        return [*words, f"{draw(st.sampled_from(KEYS))}={draw(values)}"]
    prefix = draw(st.sampled_from(["", "", "", "", "", "+", "++", "~"]))
    suffix = draw(st.sampled_from(["", "", "", "", "", "", ".0", ".x", ".", "@x", "[0]"]))
    return [*words, f"{prefix}{place.path}{suffix}" + ("" if prefix == "~" else f"={draw(values)}")]


@st.composite
def file_with_nonsense(draw: Any, where: list[Place]) -> tuple[list[str], dict[Any, Any]]:
    """Return words, and what a user's file holds: nonsense at a path, or in place of a part of it."""
    place = draw(st.sampled_from(where))
    parts = place.path.split(".")
    content = draw(nested)
    for part in reversed(parts[: draw(st.sampled_from([len(parts), len(parts), 1, 2]))]):
        content = {part: content}
    if draw(st.integers(0, 4)) == 0:
        content |= draw(st.dictionaries(st.text(max_size=5) | scalars, nested, max_size=2))
    return list(place.words), content


LINE = {"prompt": "1+1=", "completion": "2", "answer": "2"}
FIELDS = [*LINE, "messages", "other"]
CONTENTS = [[], [{}], [{"role": "user", "content": "x"}], [{"role": 3}], "", "\ud800", "#2", {"a": 1}]


@st.composite
def data_line(draw: Any) -> bytes:
    """Return one line of a data file: bytes, JSON of another kind, or a record with a nonsensical column."""
    match draw(st.integers(0, 3)):
        case 0:
            return draw(st.binary(max_size=20)).replace(b"\n", b"")
        case 1:
            return json.dumps(draw(nested), default=str, skipkeys=True).encode()
        case _:
            field = draw(st.sampled_from(FIELDS))
            return json.dumps(
                {**LINE, field: draw(nested | st.sampled_from(CONTENTS))}, skipkeys=True
            ).encode()


def broken(draw: Any, content: bytes) -> bytes:
    """Return a file cut off, with a byte changed, or as something else altogether."""
    match draw(st.integers(0, 2)):
        case 0:
            return content[: draw(st.integers(0, len(content)))]
        case 1:
            at = draw(st.integers(0, min(len(content) - 1, 400)))
            return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        case _:
            return draw(st.binary(max_size=40))


PLACES = every_place()


def cases(share):
    """Settings of a test with this share of all cases; fixtures are the same for all of them."""
    return settings(
        max_examples=round(CASES * share),
        deadline=None,
        database=None,
        derandomize="FUZZ_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )


@pytest.fixture
def is_clean(command, tmp_path, tree_of, monkeypatch, record_property):
    """Return a check that `train --dry-run` ends as it should, says one line at most, and writes nothing."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    count = itertools.count()

    def check(*words):
        next(count)
        before = tree_of(tmp_path)
        status, _, err = command("--dry-run", *words)
        assert status in (0, 2, 3), err
        if status == 2:
            assert err.startswith("train: ")
            assert err.count("\n") == 1, err
        assert tree_of(tmp_path) == before

    yield check
    record_property("inputs", next(count))


def test_every_option_has_a_place():
    paths = {place.path for place in PLACES}
    assert {"run.seed", "jax.mesh.dp", "data.path", "model.name_or_path", "stages.rl.filters"} <= paths
    assert {"stages.rl.optimizer.b1", "logging.sinks", "evaluation.rewards.x.pattern"} <= paths


@cases(0.35)
@given(words=words_with_nonsense(PLACES))
def test_a_command_line_with_nonsense(is_clean, words):
    is_clean(*words)


@cases(0.25)
@given(case=file_with_nonsense(PLACES))
def test_a_file_with_nonsense(is_clean, tmp_path, case):
    words, content = case
    text = yaml.safe_dump(content, allow_unicode=False)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    is_clean("mine.yaml", *words)


@cases(0.2)
@given(lines=st.lists(data_line(), min_size=1, max_size=3), stage=st.sampled_from(["sft", "eval"]))
def test_data_with_nonsense(is_clean, tmp_path, lines, stage):
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join(lines))
    is_clean(f"stage={stage}", "data=jsonl", "data.path=lines.jsonl", "data.test_path=lines.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a directory with a model of bytes that nothing is wrong with."""
    directory = tmp_path_factory.mktemp("model")
    shape = {"hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8}
    model = tiny_qwen2(vocab_size=260, **shape)
    save_huggingface(directory, model, model.init(0), "float32")
    return directory


@st.composite
def damage(draw):
    """Return a function that spoils a model directory."""
    kind = draw(st.sampled_from(["value", "value", "absent", "config", "weights", "tensor", "index"]))
    key = draw(st.sampled_from([*sorted(tiny_qwen2_config(vocab_size=260)), "head_dim", "layer_types"]))
    value = draw(nested)
    tensor = np.array(draw(st.sampled_from([[1.0], [float("nan")], [float("-inf")]])))
    dtype = draw(st.sampled_from(["int8", "bool", "float16", "float64", "uint64"]))
    text = draw(st.sampled_from(['{"weight_map": %s}', "%s"])) % json.dumps(value, default=str, skipkeys=True)

    def spoil(directory):
        config, weights = directory / "config.json", directory / "model.safetensors"
        match kind:
            case "value" | "absent":
                content = json.loads(config.read_text()) | {key: value}
                kept = {name: each for name, each in content.items() if kind == "value" or name != key}
                config.write_text(json.dumps(kept, skipkeys=True))
            case "config" | "weights":
                path = config if kind == "config" else weights
                path.write_bytes(broken(draw, path.read_bytes()))
            case "tensor":
                tensors = load_file(weights)
                name = sorted(tensors)[len(key) % len(tensors)]
                with np.errstate(invalid="ignore"):
                    tensors[name] = np.broadcast_to(tensor, tensors[name].shape).astype(dtype)
                save_file(tensors, weights)
            case _:
                (directory / "model.safetensors.index.json").write_text(text)

    return spoil


@cases(0.2)
@given(spoil=damage())
def test_a_model_directory_with_nonsense(is_clean, whole, tmp_path, spoil):
    shutil.rmtree(tmp_path / "model", ignore_errors=True)
    shutil.copytree(whole, tmp_path / "model")
    spoil(tmp_path / "model")
    is_clean("stage=sft", "model=pretrained", "model.name_or_path=model", "tokenizer=bytes", *SMALL)
