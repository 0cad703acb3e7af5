"""What a message tells the user to do, done: it is read out of the message, and what it names has to work."""

import json
import re
import shutil

import pytest

from burnish.llm.testing import params_of
from burnish.platform.testing import named

OPTION = re.compile(r"[+~]?(?P<key>[^=]+)")

NO_ANSWER = "stage=rl data=jsonl data.path=other.jsonl data.prompt_field=question"

CASES = [
    ("", "stage=sft+", r"write (stage=)a or stage=a\+b$", "{0}sft"),
    ("", "stage=sft+", r"write stage=a or (stage=)a(\+)b$", "{0}sft{1}rl"),
    ("", "sft", r"write (stage=sft)$", "{0}"),
    ("", "sft+rl", r"write (stage=sft\+rl)$", "{0}"),
    ("stage=sft", "bytes", r"write (tokenizer=bytes)$", "{0}"),
    ("stage=sft", "run.seed", r"write (run\.seed=)\.\.\.$", "{0}1"),
    ("stage=sft", "steps", r"write (\S+=)\.\.\.$", "{0}1"),
    ("stage=sft", "nonsense", r"write key(=)value$", "run.seed{0}1"),
    ("", "stage = sft", r"write (stage=)value without spaces;", "{0}sft"),
    (
        "stage=eval data=jsonl data.path=good.jsonl",
        "",
        r"nothing to evaluate: .* set (data\.test_path)$",
        "{0}=good.jsonl",
    ),
    ("", "stage=stf", r"did you mean '(\w+)'", "stage={0}"),
    ("", "+experiment=cntrl", r"did you mean '(\w+)'", "+experiment={0}"),
    ("stage=sft", "stages.sft.stpes=3", r"did you mean '(\w+)'", "stages.sft.{0}=3"),
    ("stage=sft", "--dryrun", r"did you mean '(\S+)'", "{0}"),
    ("", "algorithm=rloo", r"write (\+algorithm@stages\.rl=rloo)$", "{0}"),
    ("", "experiment=control", r"write (\+experiment=control)$", "{0}"),
    ("", "stage=sft,eval", r"add (-m) to run each", "{0} stage=sft,eval"),
    ("stage=sft", "stages.rl.steps=3", r"it has (\w+)$", "stages.{0}.steps=3"),
    ("stage=sft", "stages.sft.engine.slots=3", r"set (engine\S+) for every stage", "{0}"),
    ("stage=sft", "stages.sft.engine.slots=3", r"its own by (\+engine\S+ stages\S+)$", "{0}"),
    ("stage=sft", "objective=cross_entropy", r"did you mean (\S+=)\?", "{0}cross_entropy"),
    ("stage=sft", "advantage=batch_mean", r"(leave it) out$", ""),
    (
        "",
        "stage=sft advantage=batch_mean",
        r"(choose a stage) that has it",
        "stage=rl stages.rl.advantage=batch_mean",
    ),
    ("stage=sft", "+advantage.a=1", r"uses it; (leave it out)$", ""),
    (
        "stage=sft data=jsonl",
        "data.path=half.jsonl",
        r"half of a character: .*; (mend it)$",
        "data.path=good.jsonl",
    ),
    ("stage=sft", "tokenizer.use=bytes", r"choose it by (\S+),", "{0}"),
    (
        "stage=sft",
        "evaluation.rewards.f={a:3}",
        r"add '(use)', a name",
        "evaluation.rewards.f={{{0}:format}}",
    ),
    ("stage=sft", "absent.yaml", r"name an existing (YAML file)$", "good.yaml"),
    ("stage=sft good.yaml", "absent.yaml", r"(one file) at most can be given", ""),
    ("", "stage=sft+rl ~stages.rl", r"take it out of (stage=) instead", "{0}sft"),
    (
        "stage=sft",
        "engine=a:b:c",
        r"write '\w+\.\w+(:)\w+'$",
        "engine=burnish.sample.config.engine{0}InProcess",
    ),
    (
        "stage=sft",
        "engine=other",
        r"name your own as '\w+\.\w+(:)",
        "engine=burnish.sample.config.engine{0}InProcess",
    ),
    ("stage=sft", "run.name=a/b", r"(run\.output_dir) says where$", "run.name=b {0}=a"),
    (
        "stage=sft",
        "checkpoint.resume_from=latest",
        r"set (run\.name=)<its name>$",
        "{0}x checkpoint.resume_from=latest",
    ),
    ("stage=sft run.name=x", "checkpoint.resume_from=best", r"(leave it) out$", ""),
    ("stage=sft data=jsonl", "", r"set (data\.path=)\.\.\.$", "{0}good.jsonl"),
    ("stage=sft data=jsonl", "data.path=absent.jsonl", r"(data\.path)=.* name a file", "{0}=good.jsonl"),
    ("stage=sft data=jsonl", "data.path=empty.jsonl", r"(data\.path)=.* name a file", "{0}=good.jsonl"),
    ("stage=sft data=jsonl data.path=other.jsonl", "", r"there is '(\w+)', .*: set (\S+)$", "{1}={0}"),
    (
        "stage=sft data=jsonl data.path=good.jsonl stages.sft.split=test",
        "",
        r": set (\S+)$",
        "{0}=good.jsonl",
    ),
    (
        "stage=sft",
        "data.num_problems=20000 data.num_digits=3",
        r"(lower) it",
        "data.num_digits=4 data.num_problems=9000",
    ),
    ("stage=sft", "data.num_digits=3", r"or raise (\w+)$", "data.{0}=4"),
    ("stage=sft data.num_prompts=100000", "", r"or raise (\w+)$", "data.{0}=200000 data.num_digits=6"),
    ("stage=sft", "data.num_prompts=100000", r"(num_prompts)=\d+ need .*: lower one", "data.{0}=100"),
    ("stage=sft", "stages.sft.max_length=2", r"shortest has (\d+) tokens\); raise (\S+)$", "{1}={0}2"),
    (
        "stage=eval model.max_position_embeddings=16",
        "evaluation.max_new_tokens=16",
        r"(evaluation\S+)=16 leaves no room .*; lower it below 16$",
        "{0}=2",
    ),
    (
        "stage=eval model.max_position_embeddings=16",
        "evaluation.max_new_tokens=12",
        r"lower (\S+), or take a model",
        "{0}=2",
    ),
    (
        "stage=eval evaluation.max_new_tokens=2",
        "model.max_position_embeddings=8",
        r"shortest has \d+\); .*or (take a model) of more positions$",
        "model.max_position_embeddings=16",
    ),
    ("stage=rl", "stages.rl.max_prompt_tokens=1", r"shortest has (\d+)\); raise (\S+)$", "{1}={0}"),
    (
        "stage=sft",
        "stages.sft.training.frozen=['*']",
        r"(leave one) to be trained$",
        "stages.sft.training.frozen=[embed]",
    ),
    ("stage=sft", "model.hidden_size=66", r"multiple of 2 \* num_heads=(\d+)", "model.hidden_size={0}"),
    (
        "stage=rl",
        "stages.rl.samples_per_prompt=1",
        r"raise it to (\d+) or more",
        "stages.rl.samples_per_prompt={0}",
    ),
    ("stage=rl stages.rl.samples_per_prompt=1", "", r"choose the (\w+) '(\w+)'$", "stages.rl.{0}={1}"),
    (
        "stage=rl stages.rl.objective=policy_gradient",
        "",
        r"set it to (\d+), or",
        "stages.rl.updates_per_rollout={0}",
    ),
    ("stage=rl", "stages.rl.objective=policy_gradient", r"choose the (\w+) '(\w+)'$", "stages.rl.{0}={1}"),
    (
        "stage=rl",
        "~reward@stages.rl.rewards.exact_match",
        r"(\S+): .*choose the reward '(\w+)'$",
        "{0}.mine={1}",
    ),
    (
        "stage=eval",
        "~reward@evaluation.rewards.exact_match",
        r"(\S+): .*choose the reward '(\w+)'$",
        "{0}.mine={1}",
    ),
    (
        "stage=sft data=jsonl data.path=good.jsonl",
        "data.answer_pattern=(.)",
        r"write (key=value), special characters in (quotes)$",
        "data.answer_pattern='(.)'",
    ),
    (
        "stage=rl",
        "stages.rl.rewards.exact_match.answer_pattern=abc",
        r"answer_pattern=\S+ needs .* as in '#### (\S+)'$",
        "stages.rl.rewards.exact_match.answer_pattern='{0}'",
    ),
    (NO_ANSWER, "", r"name the right one by (\S+=)COLUMN or", "{0}completion"),
    (NO_ANSWER, "", r"COLUMN or (\S+answer_key=)COLUMN, or", "{0}completion"),
    (NO_ANSWER, "", r"or choose another reward: (\S+)$", "{0}"),
    (f"{NO_ANSWER} stages.rl.rewards.f=format", "", r"or leave it out: (\S+)$", "{0}"),
    ("stage=sft model=pretrained", "", r"set (model\.name_or_path=)\.\.\.$", "{0}model"),
    (
        "stage=sft model=pretrained",
        "model.name_or_path=./x",
        r"(\S+)=\S+ is no directory: give a model",
        "{0}=model",
    ),
]
"""What stays, what is wrong, what the message says, and what is typed for it instead of what is wrong."""

FEW = [
    "data.num_problems=4000",
    "data.num_demonstrations=16",
    "data.num_prompts=8",
    "evaluation.num_problems=4",
]

FILES = {
    "good.jsonl": '{"prompt": "a", "completion": "b", "answer": "b"}\n',
    "other.jsonl": '{"question": "a", "completion": "b"}\n',
    "empty.jsonl": "",
    "half.jsonl": '{"prompt": "\\ud800", "completion": "b"}\n',
    "good.yaml": "run: {seed: 3}\n",
}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A directory with a model and its tokenizer."""
    from burnish.llm.bundle import ModelContext
    from burnish.llm.config.model import Tiny
    from burnish.llm.config.tokenizer import ByteTokenizer
    from burnish.llm.export import HuggingFaceWriter

    bundle = Tiny().build(ModelContext(tokenizer=ByteTokenizer(), seed=0))
    directory = tmp_path_factory.mktemp("models") / "model"
    return HuggingFaceWriter(dtype="float32")(directory, bundle.model, params_of(bundle), bundle.tokenizer)


@pytest.fixture
def files(tmp_path, model):
    """What the cases name, in the directory they run in."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "model").symlink_to(model)
    (tmp_path / "runs").mkdir()


def asked_for(line, pattern, typed):
    """What a message says to type."""
    found = re.search(pattern, line.removeprefix("train: ").strip())
    assert found is not None, line
    return typed.format(*found.groups()).split(" ") if typed else []


def amended(kept, remedy):
    """The words that stay, with those of a remedy in place of older ones of the same option."""
    keys = {OPTION.match(word)["key"] for word in remedy}
    return [word for word in kept if OPTION.match(word)["key"] not in keys] + remedy


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("kept", "wrong", "pattern", "typed"), CASES)
def test_what_a_message_says_works(command, refused, kept, wrong, pattern, typed):
    kept = kept.split()
    kept = kept if "data=jsonl" in kept else amended(FEW, kept)
    line = refused(*kept, *wrong.split(), "--dry-run")
    status, _, err = command(*amended(kept, asked_for(line, pattern, typed)), "--dry-run")
    assert status == 0, (line, err)


@pytest.mark.usefixtures("files")
def test_data_without_problems_says_which_option_names_their_file(command):
    words = ["stage=sft", "data=jsonl", "data.path=good.jsonl", "--dry-run"]
    status, _, err = command(*words)
    assert status == 0
    option = named(err, r"no evaluation: data 'jsonl' has no split 'test'; .*: set (\S+)")
    status, _, err = command(*words, f"{option}=good.jsonl")
    assert (status, "no evaluation" in err) == (0, False)


@pytest.mark.usefixtures("files")
def test_a_component_that_has_the_option_is_chosen(command, refused):
    words = ["stage=sft", "data.path=good.jsonl", "--dry-run"]
    word = named(refused(*words), r"choose (\S+) to set it;")
    status, _, err = command(*words, word)
    assert status == 0, err


@pytest.mark.parametrize("chosen", ["tokenizer=auto", "tokenizer=bytes"])
@pytest.mark.parametrize("key", ["messages", "prompt"])
def test_a_conversation_is_learned_with_a_model_that_has_a_template(
    command, refused, tmp_path, model, chosen, key
):
    asked, answer = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}
    record = {"messages": [asked, answer]} if key == "messages" else {"prompt": [asked], "completion": "yes"}
    (tmp_path / "chat.jsonl").write_text(json.dumps(record) + "\n")
    shutil.copytree(model, tmp_path / "chatty")
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (tmp_path / "chatty/chat_template.jinja").write_text(template)
    (tmp_path / "chatty/manifest.json").unlink()  # as of a model from elsewhere
    words = ["stage=sft", "data=jsonl", "data.path=chat.jsonl"]
    line = refused(*words, chosen, "--dry-run")
    remedy = asked_for(line, r"take a model .*: (model=pretrained \S+)=DIRECTORY (\S+)$", "{0}=chatty {1}")
    status, _, err = command(*words, *remedy, "--dry-run")
    assert status == 0, (line, err)
