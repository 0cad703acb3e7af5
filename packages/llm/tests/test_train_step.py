import jax
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.micro_batches import split_rows
from burnish.llm.objective import cross_entropy
from burnish.llm.placement import place_params
from burnish.llm.sequence import make_sample
from burnish.llm.training import TrainingContext
from burnish.llm.weights import save_huggingface
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import ConfigError


def ragged_samples():
    rng = np.random.default_rng(3)
    return [make_sample(rng.integers(0, 60, 2), rng.integers(0, 60, size)) for size in (1, 6, 3, 8)]


@pytest.fixture
def training(hf_config, scaled_params, mesh):
    """Return the backend with a tiny model on one device."""
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    return JaxTraining(micro_batch_rows=2).build(
        TrainingContext(
            model=model,
            load=lambda like: place_params(scaled_params(model), like),
            optimizer=AdamW(),
            total_steps=1,
            mesh=mesh(),
            jax=JaxConfig(),
        )
    )


@pytest.fixture
def first_step(training, scaled_params, hf_config):
    """Return a function aggregation -> (loss, gradient norm) of a first step on the ragged samples."""

    def measure(aggregation):
        training.load_weights(scaled_params(Qwen2().build(FamilyContext(hf_config=hf_config))))
        batch = make_batch(ragged_samples(), num_rows=4, length=12, pad_token_id=60, aggregation=aggregation)
        statistics = training.step(batch, cross_entropy).statistics
        return [float(statistics[name][0]) for name in ("train/loss", "train/grad_norm")]

    return measure


@pytest.fixture
def huggingface_step(hf_config, scaled_params, tmp_path):
    """Return loss and gradient norm of the same samples by transformers and torch."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    save_huggingface(tmp_path, model, scaled_params(model), "float32")
    theirs = transformers.Qwen2ForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    samples = ragged_samples()
    tokens, labels = torch.zeros((4, 12), dtype=torch.long), torch.full((4, 12), -100)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample)] = torch.from_numpy(sample.tokens)
        labels[row, 2 : len(sample)] = torch.from_numpy(sample.tokens[2:]).long()
    is_real = torch.arange(12)[None] < torch.tensor([[len(sample)] for sample in samples])
    loss = theirs(input_ids=tokens, attention_mask=is_real.long(), labels=labels).loss
    loss.backward()
    squares = [float((parameter.grad**2).sum()) for parameter in theirs.parameters()]
    return [float(loss.detach()), sum(squares) ** 0.5]


def test_step_when_compared_with_huggingface_then_loss_and_gradient_norm_agree(first_step, huggingface_step):
    np.testing.assert_allclose(first_step("token_mean"), huggingface_step, rtol=1e-5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(first_step("sequence_mean"), huggingface_step, rtol=1e-5)


def reading(column):
    """Return an objective that reads one column of the batch."""

    def weighted_by_a_column(policy, batch):
        return -batch.columns[column] * policy.logprobs(), {}

    return weighted_by_a_column


def test_step_when_the_objective_reads_a_missing_column_then_names_it_and_those_there(training):
    batch = make_batch(ragged_samples(), num_rows=4, length=12, pad_token_id=60)
    training.step(batch, reading("weights"))
    said = "objective: weighted_by_a_column needs the batch column 'advantages', .* fills only weights"
    with pytest.raises(ConfigError, match=said):
        training.step(batch, reading("advantages"))


def test_step_when_an_objective_has_a_fault_of_its_own_then_it_stays_as_it_is(training):
    batch = make_batch(ragged_samples(), num_rows=4, length=12, pad_token_id=60)

    def faulty(policy, batch):
        return {"this": policy.logprobs() * batch.weights}["that"], {}

    with pytest.raises(KeyError, match="that"):
        training.step(batch, faulty)


@pytest.mark.parametrize(
    ("mesh_shape", "micro_batch_rows"), [((1, 1), 4), ((2, 1), 4), ((2, 2), 4), ((1, 4), 8)]
)
def test_split_rows_when_sharded_then_no_row_leaves_its_device(mesh, mesh_shape, micro_batch_rows):
    placed = mesh(*mesh_shape)
    rows = np.tile(np.arange(16, dtype=np.int32)[:, None], (1, 3))
    columns = {"weights": rows.astype(np.float32)}
    names = ("tokens", "positions", "segment_ids", "sequences", "sample_ids")
    batch = TokenBatch(**dict.fromkeys(names, rows), columns=columns)
    micro_batches = np.asarray(
        jax.jit(lambda batch: split_rows(batch, micro_batch_rows, placed))(batch).tokens
    )
    assert sorted(micro_batches[..., 0].ravel()) == list(range(16))
    num_shards = np.prod(mesh_shape)
    by_device = micro_batches[..., 0].reshape(-1, num_shards, micro_batch_rows // num_shards)
    for device in range(num_shards):
        held = np.arange(16).reshape(num_shards, -1)[device]
        np.testing.assert_array_equal(by_device[:, device].ravel(), held)
