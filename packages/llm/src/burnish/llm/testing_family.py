"""What every model family has to pass; the test class of a family inherits it.

    class TestMine(ModelFamilyTests):
        family = Mine()
        configs = {"tied": {...}, "untied": {...}}

Two or three layers of a few dozen dims are enough, with a vocabulary of 64 and dims that differ where they
can. A `conftest.py` calls `use_virtual_devices()` of `burnish.platform.testing`. For tests alone.
"""

import importlib
import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import CausalLM, FamilyComponent, FamilyContext
from burnish.llm.kernels.choice import Named
from burnish.llm.kernels.chunked import ChunkedAttention
from burnish.llm.micro_batches import place
from burnish.llm.sharding import parameter_shardings
from burnish.llm.tensor_layout import huggingface_shape
from burnish.llm.testing import logits_of, params_in, scaled_params
from burnish.llm.testing_scores import (
    LAYOUTS,
    LENGTH,
    VOCAB,
    WORDS,
    assert_same_scores,
    by_path,
    laid_out,
    repeated,
    score,
    tokens_of,
)
from burnish.llm.weights import save_huggingface
from burnish.platform.device.mesh import build_mesh

MESHES: Mapping[str, tuple[int, int, int]] = {
    "two devices": (1, 1, 2),
    "four devices": (2, 2, 1),
    "eight devices": (2, 2, 2),
}
"""Sizes of `dp`, `fsdp` and `tp`."""


class ModelFamilyTests:
    """A family's models are exact, whatever lays out, splits, caches, recomputes or stores them."""

    family: ClassVar[FamilyComponent]
    configs: ClassVar[Mapping[str, Mapping[str, Any]]]
    """A `config.json` by a name for it."""

    scale: ClassVar[float] = 0.3
    """Standard deviation of the parameters: so large that the logits vary by 1 at least."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run every test for every config."""
        if "config" in metafunc.fixturenames:
            metafunc.parametrize("config", list(self.configs.values()), ids=list(self.configs), scope="class")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def programs(cls) -> Iterator[None]:
        """Let go of what was compiled: each takes 250 memory maps, and Linux gives a process 65,530."""
        yield
        jax.clear_caches()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, config: Mapping[str, Any]) -> CausalLM:
        """Return the model of a config."""
        return cls.built(config)

    @classmethod
    def built(cls, config: Mapping[str, Any], **compute: Any) -> CausalLM:
        """Return the model of a config; in a compiled loop over layers, unless it is said otherwise."""
        return cls.family.build(FamilyContext(hf_config=config, compute=Compute(**{"unroll": 1, **compute})))

    @pytest.fixture(scope="class")
    @classmethod
    def params(cls, model: CausalLM) -> Any:
        """Return parameters of which each is felt."""
        return scaled_params(model, scale=cls.scale)

    @pytest.fixture(scope="class")
    @classmethod
    def scored(cls, model: CausalLM, params: Any) -> Any:
        """Return loss, logprobs and gradients of the samples, one to a row."""
        return score(model, params, laid_out())

    def test_a_config_is_matched_kept_and_makes_equal_models(
        self, model: CausalLM, config: Mapping[str, Any]
    ) -> None:
        """It says yes to its own `config.json` alone; a model is a value."""
        assert self.family.match(config)
        assert not self.family.match({**config, "model_type": "of nobody"})
        assert model.hf_config == config
        again = self.built(config)
        assert (again, hash(again)) == (model, hash(model))

    def test_trees_of_a_model_have_the_same_leaves(self, model: CausalLM) -> None:
        """Shapes, fresh parameters, axes and names speak of the same leaves."""
        shapes = by_path(model.abstract("float32"))
        fresh = by_path(model.init(0))
        axes = by_path(model.logical_axes, is_leaf=lambda node: isinstance(node, tuple))
        assert shapes.keys() == fresh.keys() == axes.keys() == set(model.parameter_names)
        assert {path: leaf.shape for path, leaf in shapes.items()} == {
            path: leaf.shape for path, leaf in fresh.items()
        }
        assert {leaf.dtype for leaf in fresh.values()} == {np.dtype("float32")}
        assert all(len(axes[path]) == len(leaf.shape) for path, leaf in shapes.items())

    def test_matrices_are_the_tensors_of_two_dims(self, model: CausalLM) -> None:
        """The dims of its matrices are those of the checkpoint's tensors; what is stored flat has none."""
        leaves, matrices = by_path(model.abstract("float32")), model.matrices
        for path, names in model.parameter_names.items():
            name = names[0] if isinstance(names, tuple) else names
            shape = leaves[path].shape
            stored = huggingface_shape(name, shape[name.num_stacked :])
            assert (path in matrices) == (len(stored) == 2), path
            sides = [math.prod(shape[dim] for dim in dims) for dims in matrices.get(path, ())]
            assert not sides or sorted(sides) == sorted(stored), path

    def test_fresh_parameters_are_a_function_of_the_seed(self, model: CausalLM) -> None:
        """The same seed gives the same, another one others."""
        first, same, other = (jax.tree.leaves(model.init(seed)) for seed in (0, 0, 1))
        assert all(np.array_equal(*pair) for pair in zip(first, same, strict=True))
        assert not all(np.array_equal(*pair) for pair in zip(first, other, strict=True))

    def test_every_parameter_is_felt(self, model: CausalLM, params: Any) -> None:
        """A tenth more or less in one leaf changes the logits."""
        tokens, leaves, structure = tokens_of(2), *jax.tree.flatten(params)
        logits, generator = logits_of(model, params, tokens), np.random.default_rng(0)
        for index, leaf in enumerate(leaves):
            moved = leaf * generator.uniform(0.9, 1.1, leaf.shape).astype(np.float32)
            others = jax.tree.unflatten(structure, [*leaves[:index], moved, *leaves[index + 1 :]])
            assert np.abs(logits_of(model, others, tokens) - logits).max() > 1e-4 * np.abs(logits).max()

    def test_a_token_changes_nothing_before_it(self, model: CausalLM, params: Any) -> None:
        """The logits up to a token are the same whatever follows."""
        one, other = tokens_of(2), tokens_of(2)
        other[:, 9:] = (other[:, 9:] + 1) % VOCAB
        found = [logits_of(model, params, tokens) for tokens in (one, other)]
        assert_same_logits(found[0][:, :9], found[1][:, :9])
        assert np.abs(found[0][:, 9:] - found[1][:, 9:]).max() > 1e-2

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_layouts_of_a_batch_give_one_loss(
        self, model: CausalLM, params: Any, scored: Any, layout: str
    ) -> None:
        """Loss, logprobs and gradients are those of the samples apart."""
        assert_same_scores(score(model, params, laid_out(**LAYOUTS[layout])), scored)

    @pytest.mark.parametrize("mesh", MESHES)
    def test_devices_give_one_loss(self, model: CausalLM, params: Any, scored: Any, mesh: str) -> None:
        """Loss, logprobs and gradients are those of one device."""
        devices = build_mesh(*MESHES[mesh])
        placed = jax.device_put(params, parameter_shardings(model, devices))
        assert_same_scores(score(model, placed, place(laid_out(), devices), mesh=devices), scored)

    @pytest.mark.parametrize("compute", [{"remat": "full"}, {"remat": "dots", "unroll": "auto"}], ids=str)
    def test_rematerialization_and_unrolling_give_one_loss(
        self, config: Mapping[str, Any], params: Any, scored: Any, compute: Any
    ) -> None:
        """Loss, logprobs and gradients do not depend on how they are computed."""
        model = self.built(config, **compute)
        assert_same_scores(score(model, params, laid_out()), scored)

    def test_attention_by_blocks_gives_one_loss(
        self, config: Mapping[str, Any], params: Any, scored: Any
    ) -> None:
        """Loss, logprobs and gradients do not depend on the kernel, in any layout."""
        model = self.built(config, attention=Named("chunked", ChunkedAttention(16)))
        for layout in LAYOUTS.values():
            assert_same_scores(score(model, params, laid_out(**layout)), scored)

    def test_dropout_is_a_function_of_the_step_and_the_sample(self, model: CausalLM, params: Any) -> None:
        """The same step drops the same entries in every layout; another one drops others."""
        one, packed, other = (
            score(model, params, laid_out(words=words, **layout), 0.2)
            for words, layout in ((WORDS, {}), (WORDS, LAYOUTS["packed"]), (WORDS + 1, {}))
        )
        assert_same_scores(packed, one)
        assert abs(other[0] - one[0]) > 1e-4 * abs(one[0])

    def test_decoding_with_a_cache_gives_the_logits_of_the_full_pass(
        self, model: CausalLM, params: Any
    ) -> None:
        """A prompt in two parts, then token by token; rows of their own lengths."""
        tokens, lengths = tokens_of(3), (17, 12, 15)
        found, full = decoded(model, params, tokens, lengths), logits_of(model, params, tokens)
        for row, length in enumerate(lengths):
            assert_same_logits(found[row, :length], full[row, :length])

    def test_bfloat16_parameters_give_bfloat16_near_fp32(self, model: CausalLM, params: Any) -> None:
        """Hidden states and cache have the dtype of the parameters, logits are fp32."""
        halves = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
        ids = jnp.zeros((2, 5), int)
        cache = model.init_cache(2, 8, jnp.bfloat16)
        made = jax.eval_shape(model.forward, halves, ids, ids, ids, cache)
        assert {leaf.dtype for leaf in jax.tree.leaves(made[:2])} == {jnp.dtype(jnp.bfloat16)}
        found, exact = logits_of(model, halves, tokens_of(2)), logits_of(model, params, tokens_of(2))
        assert found.dtype == np.float32
        assert np.sqrt(np.mean((found - exact) ** 2)) < 0.2 * np.std(exact)

    def test_bfloat16_gradients_keep_what_is_added_late(self, model: CausalLM, params: Any) -> None:
        """The rows of a batch 64 times give its gradients, as sums over tokens in fp32 do."""
        halves = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
        once, often = (by_path(score(model, halves, repeated(times))[2]) for times in (1, 64))
        for path, exact in once.items():
            lost = often[path].astype(np.float32) - exact.astype(np.float32)
            assert np.linalg.norm(lost) <= 0.015 * np.linalg.norm(exact.astype(np.float32)), path

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_what_is_written_is_read_bit_by_bit(
        self, model: CausalLM, params: Any, dtype: str, tmp_path: Path
    ) -> None:
        """Whole and in several files."""
        rounded = jax.tree.map(lambda leaf: np.asarray(leaf).astype(jnp.dtype(dtype)), params)
        for name, most in (("whole", 10**9), ("in files", 10**4)):
            (directory := tmp_path / name).mkdir()
            save_huggingface(directory, model, rounded, dtype, max_shard_bytes=most)
            read = params_in(directory, model, dtype)
            pairs = zip(jax.tree.leaves(read), jax.tree.leaves(rounded), strict=True)
            assert all(np.array_equal(ours.view(np.uint8), theirs.view(np.uint8)) for ours, theirs in pairs)
        assert len(list(directory.glob("*.safetensors"))) > 1

    def test_transformers_gives_the_logits_of_what_is_written(
        self, model: CausalLM, params: Any, tmp_path: Path
    ) -> None:
        """Where torch is there, and for families that transformers knows."""
        if importlib.util.find_spec("torch") is None:
            pytest.skip("torch is not installed")
        torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))

        if model.hf_config["model_type"] not in transformers.CONFIG_MAPPING:
            pytest.skip("transformers does not know the family")
        save_huggingface(tmp_path, model, params, "float32")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path, attn_implementation="eager", dtype="float32"
        )
        tokens = tokens_of(2)
        with torch.no_grad():
            expected = theirs(torch.from_numpy(tokens)).logits.numpy()
        assert_same_logits(logits_of(model, params, tokens), expected)


def decoded(model: CausalLM, params: Any, tokens: np.ndarray, lengths: tuple[int, ...]) -> np.ndarray:
    """Return the logits by a cached pass of 5 tokens, one of 4, and then one by one."""
    step, cache = jax.jit(model.forward), model.init_cache(len(tokens), LENGTH + 2, jnp.float32)
    logits = np.zeros((*tokens.shape, model.vocab_size), np.float32)
    for start, end in ((0, 5), (5, 9), *((index, index + 1) for index in range(9, LENGTH))):
        positions = np.tile(np.arange(start, end), (len(tokens), 1))
        segments = (positions < np.asarray(lengths)[:, None]).astype(np.int32)
        arrays = [jnp.asarray(array, jnp.int32) for array in (tokens[:, start:end], positions, segments)]
        output = step(params, *arrays, cache)
        logits[:, start:end], cache = model.head(params).logits(output.hidden), output.cache
    return logits


def assert_same_logits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Hold logits that vary by 1 at least to 1e-5 * max(1, max |logit|)."""
    assert np.std(expected) >= 1, "the logits vary too little to show a difference: `scale` is too small"
    assert np.abs(actual - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
