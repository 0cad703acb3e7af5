"""A model with one score per token: what it reads, how it is trained, and what transformers makes of it."""

import json
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext
from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes
from burnish.llm.config.family import Llama, Phi3, Qwen2
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.llm.export import HuggingFaceWriter
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import CausalLM, FamilyContext
from burnish.llm.model_source import locate
from burnish.llm.policy import policy_of
from burnish.llm.pretrained import pretrained_bundle
from burnish.llm.scalar_head import scalar_head
from burnish.llm.sequence import make_sample
from burnish.llm.testing import params_in, params_of, tiny_qwen2_config
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import save_huggingface
from burnish.platform.checkpoint.backend import CheckpointContext
from burnish.platform.checkpoint.config import Msgpack
from burnish.platform.checkpoint.manifest import write_manifest
from burnish.platform.configuration.conformance import conforming
from burnish.platform.errors import CheckpointError, ConfigError

FAMILIES = {"qwen2": Qwen2, "llama": Llama, "phi3": Phi3}


@dataclass(frozen=True)
class Regression:
    """The squared distance of each token's score from its target."""

    columns = ("target",)

    def __call__(self, policy, batch):
        scores = policy.head.logits(policy.hidden)[..., 0]
        values = (scores - batch.columns["target"]) ** 2
        trained = batch.trained
        return values, {"regression": (jnp.sum(values * trained), jnp.sum(trained))}


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request, hf_config):
    return Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": request.param}))


@pytest.fixture
def directory(tmp_path):
    """Return a maker of directories with a model, its tokenizer and a score."""

    def make(model, params):
        path = tmp_path / "model"
        path.mkdir()
        save_huggingface(path, model, params, "float32")
        save_tokenizer(Bytes(), path)
        return path

    return make


def bundle_of(directory, head=scalar_head):
    context = ModelContext(tokenizer=AutoTokenizer())
    return pretrained_bundle(
        locate(str(directory), "main"), context, trust_remote_code=False, compute=Compute(), head=head
    )


@pytest.mark.fast
def test_all_parameters_are_those_of_the_model_but_the_head(base):
    model = scalar_head(base, "value.weight")
    assert conforming("family", model, model, CausalLM) == scalar_head(base, "value.weight")
    assert (model.vocab_size, model.hidden_size) == (base.vocab_size, base.hidden_size)
    abstract, expected = model.abstract("bfloat16"), base.abstract("bfloat16")
    assert (abstract.pop("head").shape, model.parameter_names["head",].template) == ((1, 32), "value.weight")
    expected.pop("head", None)
    assert abstract == expected
    made, others = model.init(3), base.init(3)
    assert all(np.array_equal(made[name], others[name]) for name in expected if name != "layers")
    assert jax.tree.all(jax.tree.map(np.array_equal, made["layers"], others["layers"]))
    assert not np.array_equal(made["head"], model.init(4)["head"])


@pytest.mark.fast
def test_a_score_is_the_product_of_a_hidden_state_and_the_row(base, scaled_params, batch_of):
    model = scalar_head(base)
    params = scaled_params(model)
    policy = policy_of(model, params, batch_of())
    scores = np.asarray(policy.head.logits(policy.hidden))
    product = np.asarray(policy.hidden, np.float64) @ params["head"][0].astype(np.float64)
    assert scores.shape == (*policy.hidden.shape[:2], 1)
    np.testing.assert_allclose(scores[..., 0], product, rtol=0, atol=1e-5 * np.abs(product).max())


@pytest.mark.fast
@pytest.mark.parametrize("output", ["logprobs", "entropy", "log_normalizer", "is_argmax"])
def test_it_has_no_predictions_of_tokens(base, scaled_params, batch_of, output):
    model = scalar_head(base)
    policy = policy_of(model, scaled_params(model), batch_of())
    with pytest.raises(ConfigError, match=r"^objective: this model gives one score per token and no logits"):
        getattr(policy, output)()
    predicted = getattr(policy_of(base, scaled_params(base), batch_of()), output)()
    assert predicted.shape == policy.hidden.shape[:2]


@pytest.mark.fast
def test_a_backend_regresses_a_score_per_token(base, make_training, batch_of, scaled_params):
    model, targets = scalar_head(base), np.random.default_rng(5)
    samples = []
    for _ in range(8):
        tokens = targets.integers(0, 50, 7)
        samples.append(make_sample(tokens[:3], tokens[3:], {"target": targets.standard_normal(4)}))
    batch = batch_of(rows=samples, columns=["target"])
    training = make_training(model=model)

    values, _ = Regression()(policy_of(model, scaled_params(model, scale=0.2), batch), batch)
    first = np.sum(np.asarray(values) * np.asarray(batch.weights))
    losses = []
    for _ in range(20):
        statistics = training.step(batch, Regression()).statistics
        total, count = statistics["train/regression"]
        losses.append(float(total) / float(count))
    np.testing.assert_allclose(losses[0], first, rtol=1e-5)
    assert losses[-1] < 0.5 * losses[0]
    assert training.weights().tree["head"].shape == (1, 32)


@pytest.mark.fast
def test_a_directory_with_a_score_is_a_bundle_and_so_is_its_export(base, directory, scaled_params, tmp_path):
    model = scalar_head(base)
    params = scaled_params(model)
    bundle = bundle_of(directory(model, params))
    bundle.check_params()
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(bundle), params))
    export = HuggingFaceWriter(dtype="float32")(
        tmp_path / "e", bundle.model, params_of(bundle), bundle.tokenizer
    )
    again = bundle_of(export)
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(again), params))
    assert json.loads((export / "config.json").read_text())["architectures"] == [
        "Qwen2ForSequenceClassification"
    ]


@pytest.mark.fast
def test_a_checkpoint_with_a_score_is_a_bundle(base, scaled_params, tmp_path):
    model, step = scalar_head(base), tmp_path / "step_5"
    step.mkdir()
    params = scaled_params(model)
    backend = Msgpack().build(CheckpointContext())
    backend.save(step / "params", params)
    backend.wait()
    (step / "config.json").write_text(json.dumps(model.hf_config))
    save_tokenizer(Bytes(), step)
    write_manifest(step, {"kind": "checkpoint", "step": 5, "backend": "msgpack", "trees": ["params"]})
    loaded = bundle_of(step)
    assert loaded.model.hf_config == model.hf_config
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(loaded), params))


@pytest.mark.fast
def test_a_score_of_several_labels_and_a_model_without_one_are_refused(base, directory, scaled_params):
    plain = directory(base, scaled_params(base))
    with pytest.raises(CheckpointError, match=r"missing `score\.weight`"):
        bundle_of(plain).check_params()
    three = replace(scalar_head(base), name="score.weight")
    params = {**scaled_params(three), "head": np.zeros((3, 32), np.float32)}
    with pytest.raises(CheckpointError, match=r"head is \(3, 32\), the model needs \(1, 32\)"):
        save_huggingface(plain, three, params, "float32")
    save_huggingface(plain, three, scaled_params(three), "float32")
    with pytest.raises(CheckpointError, match=r"unexpected `score\.weight`"):
        bundle_of(plain, head=None).check_params()


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_those_of_transformers(name, directory, tmp_path, assert_same_logits):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import transformers

    kind = {"qwen2": "Qwen2", "llama": "Llama", "phi3": "Phi3"}[name]
    sizes = tiny_qwen2_config(vocab_size=61, pad_token_id=60, eos_token_id=60, num_labels=1)
    del sizes["model_type"]
    config = getattr(transformers, f"{kind}Config")(**sizes)
    torch.manual_seed(0)
    classifier = getattr(transformers, f"{kind}ForSequenceClassification")
    theirs = classifier(config).eval()
    with torch.no_grad():
        for key, parameter in theirs.named_parameters():
            parameter.normal_(float(key.endswith("norm.weight")), 0.5)
    theirs.save_pretrained(tmp_path / "theirs")
    tokens = np.random.default_rng(1).integers(0, 60, (4, 11))
    with torch.no_grad():
        of_last = theirs(torch.from_numpy(tokens)).logits.numpy()
        of_all = theirs.score(theirs.model(torch.from_numpy(tokens)).last_hidden_state).numpy()

    read = json.loads((tmp_path / "theirs/config.json").read_text())
    model = scalar_head(FAMILIES[name]().build(FamilyContext(hf_config=read)))
    params = params_in(tmp_path / "theirs", model)
    positions = np.tile(np.arange(11), (4, 1))
    hidden = model.forward(params, jnp.asarray(tokens), jnp.asarray(positions), jnp.ones((4, 11), jnp.int32))
    scores = np.asarray(model.head(params).logits(hidden.hidden))
    assert_same_logits(scores, of_all)
    assert_same_logits(scores[:, -1], of_last)

    ours = directory(model, params)
    back = transformers.AutoModelForSequenceClassification.from_pretrained(ours).eval()
    assert isinstance(back, classifier)
    with torch.no_grad():
        np.testing.assert_array_equal(back(torch.from_numpy(tokens)).logits.numpy(), of_last)
