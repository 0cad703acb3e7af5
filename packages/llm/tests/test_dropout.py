"""Dropout: as in transformers with the same entries dropped, and independent of how a batch is laid out."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.noise import noise_of
from burnish.llm.objective import cross_entropy
from burnish.llm.sequence import make_sample
from burnish.llm.testing import params_in

RATE = 0.25
WORDS = (1, 2, 3, 4, 5)


def loss_of(training, batch, words=WORDS):
    return float(training.step(batch, cross_entropy, key_words=words).statistics["train/loss"][0])


@pytest.fixture
def noise(batch_of):
    """Return the noise of a batch of 8 rows of 12 tokens."""
    return noise_of(replace(batch_of(), noise_words=np.array(WORDS, np.uint32)), RATE)


def test_drop_keeps_the_mean_and_drops_at_the_rate(noise):
    dropped = np.asarray(noise.drop(jnp.ones((8, 12, 4096)), 0))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / (1 - RATE))}
    # 393,216 draws: five standard deviations are .0035
    assert np.mean(dropped == 0) == pytest.approx(RATE, abs=0.0035)


def test_drop_is_independent_from_place_to_place_and_from_token_to_token(noise):
    places = [(noise, 0), (noise, 1), (noise.at(0), 0), (noise.at(1), 0)]
    drawn = [np.asarray(here.drop(jnp.ones((8, 12, 4096)), place))[:, :4] == 0 for here, place in places]
    tokens = np.concatenate(drawn).reshape(4 * 8 * 4, 4096)
    correlations = np.corrcoef(tokens) - np.eye(len(tokens))
    # 8,128 pairs, each with a standard deviation of 1 / 64
    assert np.abs(correlations).max() < 6 / 64


@pytest.fixture
def torch_case(hf_config, tmp_path, noise):
    """Return model, parameters, tokens and transformers' logits with what `noise` drops dropped there too."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    reference = Qwen2ForCausalLM(Qwen2Config(**hf_config)).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter.normal_(float(name.endswith("norm.weight")), 0.3)
    reference.save_pretrained(tmp_path)

    def dropping(here, place):
        factors = torch.from_numpy(np.array(here.drop(jnp.ones((8, 12, hf_config["hidden_size"])), place)))

        def hook(_, __, output):
            return (output[0] * factors, *output[1:]) if isinstance(output, tuple) else output * factors

        return hook

    layers = reference.model.layers
    reference.model.embed_tokens.register_forward_hook(dropping(noise.at(len(layers)), 0))
    for index, layer in enumerate(layers):
        layer.self_attn.register_forward_hook(dropping(noise.at(index), 0))
        layer.mlp.register_forward_hook(dropping(noise.at(index), 1))
    tokens = np.random.default_rng(1).integers(0, hf_config["vocab_size"], (8, 12))
    with torch.no_grad():
        logits = reference(torch.from_numpy(tokens)).logits.numpy()
    model = Qwen2().build(FamilyContext(hf_config=json.loads((tmp_path / "config.json").read_text())))
    return model, params_in(tmp_path, model), tokens, logits


@pytest.mark.parametrize("drops", [True, False])
def test_logits_are_those_of_transformers_with_the_same_entries_dropped(
    torch_case, noise, assert_same_logits, drops
):
    model, params, tokens, expected = torch_case
    positions = jnp.tile(jnp.arange(12), (8, 1))
    output = model.forward(
        params, jnp.asarray(tokens), positions, jnp.ones_like(positions), noise=noise if drops else None
    )
    logits = np.asarray(model.head(params).logits(output.hidden))
    if drops:
        assert_same_logits(logits, expected)
    else:
        with pytest.raises(AssertionError):
            assert_same_logits(logits, expected)


@pytest.mark.parametrize("is_numbered", [True, False])
def test_dropout_when_rows_are_cut_packed_or_padded_then_stays_with_its_token(
    make_training, batch_of, samples_of, is_numbered
):
    samples = samples_of(0)
    if is_numbered:
        samples = [replace(sample, sample_id=number) for number, sample in enumerate(samples)]

    def loss(rows, micro_batch_rows="all", **options):
        training = make_training(dropout=RATE, micro_batch_rows=micro_batch_rows)
        return loss_of(training, batch_of(rows=rows, length=36, **options))

    plain = loss(samples)
    others = [loss([samples[5:], samples[:3], samples[3:5]]), loss(samples[::-1])]
    same = np.isclose(others, plain, rtol=1e-5)
    assert same.all() if is_numbered else not same.any()
    alike = [loss(samples, micro_batch_rows=2), loss(samples, padding_side="left")]
    np.testing.assert_allclose(alike, plain, rtol=1e-5)


def test_dropout_when_the_step_is_another_then_so_is_the_noise(make_training, batch_of):
    first = loss_of(make_training(dropout=RATE), batch_of())
    assert loss_of(make_training(dropout=RATE), batch_of()) == first
    assert abs(loss_of(make_training(dropout=RATE), batch_of(), (1, 2, 4, 4, 5)) - first) > 1e-3 * first


@pytest.mark.parametrize("remat", ["none", "full"])
def test_dropout_in_halves_is_the_whole_step_bit_for_bit(
    make_training, batch_of, assert_bit_equal, hf_config, remat
):
    model = Qwen2().build(FamilyContext(hf_config=hf_config, compute=Compute(remat=remat)))
    whole, halves = make_training(dropout=RATE, model=model), make_training(dropout=RATE, model=model)
    loss_of(whole, batch_of())
    halves.forward_backward(batch_of(), cross_entropy, key_words=WORDS)
    halves.optim_step()
    assert_bit_equal(halves.weights().tree, whole.weights().tree)


def test_scoring_drops_nothing(make_training, batch_of):
    scores = [make_training(dropout=rate).score(batch_of(), ["logprobs"])["logprobs"] for rate in (0.0, RATE)]
    np.testing.assert_array_equal(*map(np.asarray, scores))


def test_dropout_without_words_is_refused(make_training, batch_of):
    with pytest.raises(ValueError, match="key_words"):
        make_training(dropout=RATE).step(batch_of(), cross_entropy)


def test_dropout_holds_a_model_back_from_learning_its_rows_by_heart(make_training):
    rows = [make_sample([1, 2, 3], np.random.default_rng(row).integers(0, 50, 8)) for row in range(4)]
    batch = make_batch(rows, num_rows=4, length=12, pad_token_id=60)

    def last(rate):
        training = make_training(dropout=rate)
        return [loss_of(training, batch, (1, 2, step, 4, 5)) for step in range(20)][-1]

    assert last(0.0) < last(RATE)
