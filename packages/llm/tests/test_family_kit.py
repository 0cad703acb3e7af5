"""The tests that every family has to pass, on each of those here; and families that must not pass them."""

import json
from pathlib import Path

import numpy as np

from burnish.llm.config.family import (
    Gemma2,
    Gemma3,
    Llama,
    Mistral,
    Mixtral,
    Olmo2,
    Phi3,
    Qwen2,
    Qwen3,
    Qwen3MoE,
)
from burnish.llm.testing_family import ModelFamilyTests

GOLDEN = Path(__file__).parent / "golden/families.npz"


def configs(*names):
    """Configs as transformers writes them, with a vocabulary that devices divide."""
    with np.load(GOLDEN) as arrays:
        return {name: json.loads(str(arrays[f"{name} config"])) | {"vocab_size": 64} for name in names}


class TestQwen2(ModelFamilyTests):
    family = Qwen2()
    configs = configs("qwen2 tied", "qwen2 untied")


class TestQwen3(ModelFamilyTests):
    family = Qwen3()
    configs = configs("qwen3")


class TestLlama(ModelFamilyTests):
    family = Llama()
    configs = configs("llama with biases")


class TestMistral(ModelFamilyTests):
    family = Mistral()
    configs = configs("mistral")


class TestGemma2(ModelFamilyTests):
    family = Gemma2()
    configs = configs("gemma2")


class TestGemma3(ModelFamilyTests):
    family = Gemma3()
    configs = configs("gemma3")


class TestOlmo2(ModelFamilyTests):
    family = Olmo2()
    configs = configs("olmo2")


class TestPhi3(ModelFamilyTests):
    family = Phi3()
    configs = configs("phi3", "phi3 tied with windows")


class TestMixtral(ModelFamilyTests):
    family = Mixtral()
    configs = configs("mixtral")


class TestQwen3MoE(ModelFamilyTests):
    family = Qwen3MoE()
    configs = configs("qwen3 with experts")
