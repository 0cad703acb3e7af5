"""A model whose tokenizer has learned new words: what it knew it keeps, and what is new is near it."""

import json

import jax
import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes
from burnish.llm.config.model import Pretrained
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.llm.config.training import JaxTraining
from burnish.llm.export import HuggingFaceWriter
from burnish.llm.objective import cross_entropy
from burnish.llm.sequence import make_sample
from burnish.llm.sharding import likeness_of
from burnish.llm.testing import logits_of, params_in, params_of, scaled_params, tiny_qwen2
from burnish.llm.tokenizer_files import load_tokenizer, save_tokenizer
from burnish.llm.training import TrainingContext
from burnish.llm.vocabulary import SHARE_OF_COVARIANCE, drawn_rows
from burnish.llm.weights import save_huggingface
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import ConfigError

OLD, ADDED = 260, 12
NEW_WORDS = [f"<a_{number}>" for number in range(ADDED)]


def learn_words(directory, words):
    """Add words to the tokenizer in a directory."""
    from transformers import AutoTokenizer as Theirs

    tokenizer = Theirs.from_pretrained(directory)
    tokenizer.add_tokens(words, special_tokens=True)
    tokenizer.save_pretrained(directory)


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def is_tied(request):
    return request.param


@pytest.fixture
def directory(tmp_path, is_tied):
    """Return a directory with a model of bytes, whose tokenizer knows twelve words beside them."""
    model = tiny_qwen2(vocab_size=OLD, tie_word_embeddings=is_tied, architectures=["Qwen2ForCausalLM"])
    (made := tmp_path / "model").mkdir()
    save_huggingface(made, model, scaled_params(model), "float32")
    save_tokenizer(Bytes(), made)
    learn_words(made, NEW_WORDS)
    return made


def grown(directory, seed=3, **options):
    model = Pretrained(name_or_path=str(directory), resize="mean_covariance", **options)
    return load_bundle(model, ModelContext(tokenizer=AutoTokenizer(), seed=seed))


def tables(is_tied):
    return ("embed",) if is_tied else ("embed", "head")


def test_a_tokenizer_of_more_ids_is_refused_unless_the_model_may_grow(directory):
    with pytest.raises(ConfigError, match=r"it has 272 ids and the model .* only 260; use the tokenizer"):
        load_bundle(Pretrained(name_or_path=str(directory)), ModelContext(tokenizer=AutoTokenizer()))
    bundle = grown(directory)
    bundle.check_params()
    assert bundle.model.vocab_size == bundle.tokenizer.vocab_size == OLD + ADDED
    assert bundle.model.hf_config["vocab_size"] == OLD + ADDED
    assert bundle.source == f"{directory} with 12 new token ids"


def test_a_tokenizer_that_fits_leaves_the_model_as_it_is(tmp_path):
    model = tiny_qwen2(vocab_size=300)
    save_huggingface(tmp_path, model, model.init(0), "float32")
    save_tokenizer(Bytes(), tmp_path)
    assert grown(tmp_path).model.vocab_size == 300


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_old_rows_and_all_else_keep_their_bits_on_any_mesh(directory, is_tied, mesh, dtype):
    bundle = grown(directory)
    old = params_in(directory, tiny_qwen2(vocab_size=OLD, tie_word_embeddings=is_tied), dtype)
    first = None
    for shape in ((1, 1, 1), (1, 2, 2), (2, 1, 4)):
        params = jax.device_get(bundle.load(likeness_of(bundle.model, dtype, mesh(*shape))))
        first = params if first is None else first
        assert jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), params, first))
        cut = {name: params[name][:OLD] for name in tables(is_tied)}
        assert jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), {**params, **cut}, old))


def test_new_rows_are_a_function_of_the_seed_and_the_leaf(directory, is_tied):
    first, again, other = (params_of(grown(directory, seed)) for seed in (3, 3, 4))
    for name in tables(is_tied):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name][OLD:], other[name][OLD:])
        assert len(np.unique(first[name][OLD:], axis=0)) == ADDED


COUNT = 40_000


@pytest.fixture(scope="module")
def table():
    """Return rows of five dims that go together and lie away from the origin."""
    generator = np.random.default_rng(0)
    return (generator.standard_normal((5_000, 5)) @ generator.standard_normal((5, 5)) + 2).astype(np.float32)


def deviation(rows, table):
    """Return how far the mean and the covariance of rows are from those of a table, in standard errors."""
    mean = table.mean(0, dtype=np.float64)
    centered = (table - mean) * np.sqrt(SHARE_OF_COVARIANCE)
    covariance = centered.T @ centered / len(table)
    variance = np.diag(covariance)
    of_mean = np.abs(rows.mean(0, dtype=np.float64) - mean) / np.sqrt(variance / len(rows))
    found = np.cov(rows.astype(np.float64), rowvar=False, bias=True)
    of_each = np.sqrt((np.outer(variance, variance) + covariance**2) / len(rows))
    return of_mean.max(), (np.abs(found - covariance) / of_each).max()


def test_new_rows_have_the_mean_and_a_share_of_the_covariance_of_the_old(table):
    assert max(deviation(drawn_rows(table, COUNT, np.random.default_rng(1)), table)) < 5


def test_twins_with_another_mean_or_without_what_goes_together_are_others(table):
    rows = drawn_rows(table, COUNT, np.random.default_rng(1))
    assert deviation(rows * np.float32(1 + 1e-5), table)[0] > 5
    alone = np.stack([np.random.default_rng(dim).permutation(rows[:, dim]) for dim in range(5)], axis=1)
    assert deviation(alone, table)[1] > 5


def test_new_rows_are_distributed_as_those_of_transformers(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = {"hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = tiny_qwen2(
        vocab_size=OLD, architectures=["Qwen2ForCausalLM"], tie_word_embeddings=False, **config
    )
    save_huggingface(tmp_path, model, scaled_params(model), "float32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    old = {"embed": theirs.get_input_embeddings(), "head": theirs.get_output_embeddings()}
    old = {name: module.weight.detach().numpy().copy() for name, module in old.items()}
    torch.manual_seed(0)
    theirs.resize_token_embeddings(OLD + COUNT, mean_resizing=True)
    new = {"embed": theirs.get_input_embeddings(), "head": theirs.get_output_embeddings()}
    for name, module in new.items():
        rows = module.weight.detach().numpy()[OLD:]
        assert max(deviation(rows, old[name])) < 5, "the method that is compared with"
        assert max(deviation(drawn_rows(old[name], COUNT, np.random.default_rng(2)), old[name])) < 5
        assert max(deviation(rows, old[name] * np.float32(1.1))) > 5


def test_a_table_of_fewer_rows_than_dims_has_new_rows_within_what_it_spans():
    table = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    rows = drawn_rows(table, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(rows[:, 2], 0)
    np.testing.assert_allclose(rows[:, 0] + rows[:, 1], 1, atol=1e-6)


@pytest.fixture
def training_of(mesh):
    """Return a maker of backends over a bundle."""

    def make(bundle, **options):
        return JaxTraining(**options).build(
            TrainingContext(
                model=bundle.model,
                load=bundle.load,
                optimizer=AdamW(learning_rate=1e-2),
                total_steps=10,
                mesh=mesh(1, 2, 1),
                jax=JaxConfig(),
                tokenizer=bundle.tokenizer,
            )
        )

    return make


def step(training, tokenizer):
    prompt = tokenizer.encode("<a_1><a_3>", with_special=True)
    assert prompt == [OLD + 1, OLD + 3]
    samples = [make_sample(prompt, [OLD + number]) for number in range(4)]
    batch = make_batch(samples, num_rows=4, length=8, pad_token_id=tokenizer.pad_token_id)
    return training.step(batch, cross_entropy)


def test_rows_of_new_words_alone_are_trained(directory, is_tied, training_of):
    bundle = grown(directory)
    frozen = ("layers", "final_norm")
    training = training_of(bundle, trainable_rows=dict.fromkeys(tables(is_tied), OLD), frozen=frozen)
    before = jax.device_get(training.weights().tree)
    step(training, bundle.tokenizer)
    after = jax.device_get(training.weights().tree)
    for name in tables(is_tied):
        np.testing.assert_array_equal(after[name][:OLD], before[name][:OLD])
        assert not np.array_equal(after[name][OLD:], before[name][OLD:])
    assert training._state["params"]["embed"].shape == (ADDED, 32)


def test_a_trained_export_has_the_new_words_and_is_read_by_transformers(
    directory, training_of, tmp_path, assert_same_logits
):
    bundle = grown(directory)
    training = training_of(bundle)
    step(training, bundle.tokenizer)
    params = jax.device_get(training.weights().tree)
    export = HuggingFaceWriter(dtype="float32")(tmp_path / "e", bundle.model, params, bundle.tokenizer)
    assert json.loads((export / "config.json").read_text())["vocab_size"] == OLD + ADDED
    again = load_bundle(
        Pretrained(name_or_path=str(directory), resize="mean_covariance").handed_over(str(export)),
        ModelContext(tokenizer=AutoTokenizer(), seed=9),
    )
    assert again.model == bundle.model
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(again), params))
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(export, attn_implementation="eager")
    assert theirs.get_output_embeddings().weight.shape == (OLD + ADDED, 32)
    tokens = np.arange(OLD - 4, OLD + ADDED).reshape(2, 8)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens)).logits.numpy()
    assert_same_logits(logits_of(bundle.model, params, tokens), expected)


class Elsewhere:
    """A tokenizer component that reads a directory of its own."""

    def __init__(self, directory):
        self.directory = directory

    def build(self, _):
        return load_tokenizer(self.directory)


def test_an_export_may_grow_for_a_tokenizer_that_has_learned_more_than_its_own(directory, tmp_path):
    bundle = grown(directory)
    write = HuggingFaceWriter(dtype="float32")
    export = write(tmp_path / "e", bundle.model, params_of(bundle), bundle.tokenizer)
    learn_words(directory, ["<b_0>"])
    context = ModelContext(tokenizer=Elsewhere(directory))
    with pytest.raises(ConfigError, match=r"not the one .* written with \(tokenizer in its manifest"):
        load_bundle(Pretrained(name_or_path=str(export)), context)
    again = load_bundle(Pretrained(name_or_path=str(export), resize="mean_covariance"), context)
    assert again.model.vocab_size == OLD + ADDED + 1
    np.testing.assert_array_equal(params_of(again)["embed"][:-1], params_of(bundle)["embed"])
