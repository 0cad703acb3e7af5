"""A component of somebody else's wheel that does not do what its slot asks ends in one line that names it."""

import pytest

THEIRS = '''
from dataclasses import dataclass

import jax.numpy as jnp

from burnish.platform import Artifacts
from burnish.sample import Completion


class Engine:
    """Answers nothing."""

    version = 0

    def update_weights(self, weights):
        pass

    def generate(self, requests):
        return []

    def stats(self):
        return {}


class Deaf(Engine):
    def update_weights(self):
        pass


class Lazy(Engine):
    def generate(self, requests):
        return (request for request in requests)


class Texts(Engine):
    def generate(self, requests):
        return ["42" for request in requests]


class Swapped(Engine):
    def generate(self, requests):
        rest = {"tokens": [], "logprobs": [], "finish_reason": "stop", "weight_version": 0}
        return [Completion(request_id=each.id, **rest) for each in reversed(requests)]


class Raising(Engine):
    def generate(self, requests):
        return requests[len(requests)]


class Data:
    fingerprint = "mine"

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return "3+4="


class Sink:
    def commit(self, row, stats):
        raise OSError("the server is away")

    def close(self, end):
        pass


class Stage:
    def run(self, artifacts):
        pass


def no_pair(policy, batch):
    return policy.logprobs()


def no_array(policy, batch):
    return 0.0, {}


def no_statistics(policy, batch):
    return policy.logprobs(), {"train/mine": jnp.float32(1)}


def row_means(policy, batch):
    return jnp.mean(policy.logprobs(), axis=1), {}


def per_group(groups):
    return [0.5 for group in groups]


def verdict(group):
    return True


def too_few(samples):
    return [1.0]


def makes(name, made):
    def build(self, context):
        return made()

    return dataclass(frozen=True)(type(name, (), {"build": build, "__module__": __name__}))


deaf = makes("deaf", Deaf)
silent = makes("silent", Engine)
lazy = makes("lazy", Lazy)
texts = makes("texts", Texts)
swapped = makes("swapped", Swapped)
raising = makes("raising", Raising)
sink = makes("sink", Sink)


@dataclass(frozen=True)
class alone:
    def build(self):
        return Engine()


@dataclass(frozen=True)
class lines:
    made = Data

    def splits(self):
        return ("demonstrations", "prompts", "test")

    def build(self, context):
        return self.made()


@dataclass(frozen=True)
class nothing:
    def build(self, run):
        return Stage()


@dataclass(frozen=True)
class closed:
    provides = frozenset()

    def build(self):
        return Stage()
'''

GROUPS = {
    "engine": ("alone", "deaf", "silent", "lazy", "texts", "swapped", "raising"),
    "data": ("lines",),
    "stage": ("nothing", "closed"),
    "objective": ("no_pair", "no_array", "no_statistics", "row_means"),
    "advantage": ("per_group",),
    "filter": ("verdict",),
    "reward": ("too_few",),
    "sink": ("sink",),
}
WHEEL = "of their-wheel 1.5"
GENERATE = "`def generate(self, requests: Sequence[Request]) -> list[Completion]` (burnish/sample/engine.py:"
CALL = "`def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, ...], Statistics]`"
CASES = {
    "a build without its context": (
        ("stage=eval", "engine=alone"),
        f"engine 'alone' {WHEEL} (theirs:alone) has build(), which cannot be called",
        "write it as `def build(self, context: EngineContext) -> Engine`",
    ),
    "a method with other parameters": (
        ("stage=eval", "engine=deaf"),
        f"engine 'deaf' {WHEEL} (theirs:deaf) builds a Deaf, which has update_weights()",
        "`def update_weights(self, weights: Weights) -> None` (burnish/sample/engine.py:",
    ),
    "too few completions": (
        ("stage=eval", "engine=silent"),
        f"engine Engine {WHEEL} returns 0 completions for 8 requests",
        GENERATE,
    ),
    "completions that are no list": (
        ("stage=eval", "engine=lazy"),
        f"engine Lazy {WHEEL} returns a generator for a list of completions",
        GENERATE,
    ),
    "completions of another type": (
        ("stage=eval", "engine=texts"),
        f"engine Texts {WHEEL} returns a str for a completion",
        GENERATE,
    ),
    "completions in another order": (
        ("stage=eval", "engine=swapped"),
        f"engine Swapped {WHEEL} answers request 0 with the completion of request 7",
        GENERATE,
    ),
    "records that are texts": (
        ("stage=sft", "data=lines"),
        f"data Data {WHEEL} has a str for a record",
        "`def __getitem__(self, index: int, /) -> Item` (burnish/platform/data/source.py:",
    ),
    "a stage that returns nothing": (
        ("stage=nothing",),
        f"stages.nothing: stage 'nothing' {WHEEL} (theirs:nothing) returns None from `run`",
        "`def run(self, artifacts: Artifacts) -> Artifacts` (burnish/platform/runs/stage.py:",
    ),
    "a stage that takes no run": (
        ("stage=closed",),
        f"stage 'closed' {WHEEL} (theirs:closed) has build(), which cannot be called",
        "write it as `def build(self, run: StageRun) -> Stage`",
    ),
    "an objective without statistics": (
        ("stage=sft", "objective@stages.sft.objective=no_pair"),
        f"objective no_pair {WHEEL} returns an array and not (values, statistics)",
        CALL,
    ),
    "an objective without an array": (
        ("stage=sft", "objective@stages.sft.objective=no_array"),
        f"objective no_array {WHEEL} returns a float and a dict, no array and mapping",
        CALL,
    ),
    "an objective with bare statistics": (
        ("stage=sft", "objective@stages.sft.objective=no_statistics"),
        f"objective no_statistics {WHEEL} returns the statistic 'train/mine'",
        CALL,
    ),
    "an objective with a value per row": (
        ("stage=rl", "objective@stages.rl.objective=row_means"),
        f"row_means {WHEEL} returns values of shape (64,)",
        "legal are one per token",
    ),
    "an advantage per group": (
        ("stage=rl", "advantage@stages.rl.advantage=per_group"),
        f"advantage per_group {WHEEL} returns advantages of shapes 32 groups, the first of []",
        "`def __call__(self, groups: Sequence[Group]) -> list[list[TokenAdvantages]]` (burnish/rl/",
    ),
    "a filter that answers yes": (
        ("stage=rl", "+filter@stages.rl.filters.mine=verdict"),
        f"filter verdict {WHEEL} returns True, neither a reason nor None",
        "`def __call__(self, group: Group) -> str | None` (burnish/rl/filters/protocol.py:",
    ),
    "a reward with another number of results": (
        ("stage=eval", "evaluation.rewards.exact_match=null", "+reward@evaluation.rewards.few=too_few"),
        f"reward 'few' {WHEEL} (theirs:too_few, ",
        "it returned 1 results for 8 samples; make it return a list with one number, or None, for each",
    ),
}
"""By what is wrong: what is typed, the component as it is named, and what it has to be instead."""

SMALL = (
    *("data.num_problems=2000", "data.num_demonstrations=32", "data.num_prompts=32", "run.name=x"),
    *("evaluation.num_problems=8", "engine.slots=8", "~sink@logging.sinks.tensorboard"),
)


@pytest.fixture
def theirs(distribution):
    """Install a wheel with every component of `THEIRS`."""
    points = {slot: {name: f"theirs:{name}" for name in names} for slot, names in GROUPS.items()}
    distribution("their-wheel", points, {"theirs.py": THEIRS}, version="1.5")


def words_of(typed):
    """Return what is typed, with the options of a small run that go with it."""
    chosen = " ".join(typed)
    has = {"engine": "engine=" not in chosen, "data": "data=" not in chosen and "stages." not in chosen}
    kept = [word for word in SMALL if has.get(word.partition(".")[0], True)]
    is_stage = any(f"stage={name}" in chosen for name in GROUPS["stage"])
    return [*typed, *(word for word in kept if not is_stage or word.startswith(("run", "~")))]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("theirs")
def test_what_departs_from_its_protocol_is_one_line_with_the_wheel_and_the_protocol(command, case):
    typed, named, remedy = CASES[case]
    status, _, said = command(*words_of(typed))

    assert status == 2, said
    line = said.splitlines()[-1]
    assert named in line
    assert remedy in line


@pytest.mark.usefixtures("theirs")
def test_a_sink_that_fails_is_warned_about_with_its_wheel_and_costs_no_row(command, tmp_path, caplog):
    status, _, said = command(*words_of(("stage=eval", "+sink@logging.sinks.mine=sink")))

    assert status == 0, said
    assert f"logging.sinks.mine {WHEEL} fails and misses rows: OSError: the server is away" in caplog.text
    assert (tmp_path / "runs/x/metrics.jsonl").read_text().count("\n") == 1


@pytest.mark.usefixtures("theirs")
def test_an_error_in_their_code_keeps_its_traceback_and_names_the_wheel(command):
    with pytest.raises(IndexError) as raised:
        command(*words_of(("stage=eval", "engine=raising")))

    [note] = [note for note in raised.value.__notes__ if "no part of burnish" in note]
    assert note.startswith(f"this is code {WHEEL}, no part of burnish: ")
    assert note.endswith("theirs.py:48, generate")
