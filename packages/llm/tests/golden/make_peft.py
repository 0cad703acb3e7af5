"""Write `peft/` and `peft.npz`: updates that peft has made of a tiny Qwen2, its weights, and the logits.

Run `python packages/llm/tests/golden/make_peft.py` where torch and peft are installed.
"""

import tempfile
from pathlib import Path

import numpy as np
import peft
import torch
import transformers

from burnish.llm.testing import tiny_qwen2, tiny_qwen2_config
from burnish.llm.testing_scores import tokens_of
from burnish.llm.weights import save_huggingface

HERE = Path(__file__).parent
OPTIONS = {"r": 2, "lora_alpha": 3, "target_modules": ["o_proj", "up_proj"], "rank_pattern": {"o_proj": 3}}


def weights(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return what a tensor holds."""
    centered = 0.4 * generator.standard_normal(shape)
    return (centered + name.endswith("norm.weight")).astype(np.float16)


def main() -> None:
    """Write them."""
    torch.manual_seed(0)
    model = tiny_qwen2(61)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as directory:
        save_huggingface(Path(directory), model, model.init(0), "float32")
        base = transformers.AutoModelForCausalLM.from_pretrained(directory)
        tensors = {
            name: (0.4 * generator.standard_normal(tensor.shape) + name.endswith("norm.weight")).astype(
                "float16"
            )
            for name, tensor in base.state_dict().items()
            if name != "lm_head.weight"
        }
        base.load_state_dict(
            {name: torch.from_numpy(each).float() for name, each in tensors.items()}, strict=False
        )
    adapted = peft.get_peft_model(base, peft.LoraConfig(use_dora=True, use_rslora=True, **OPTIONS)).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter += 0.2 * torch.randn_like(parameter)
        logits = adapted(torch.from_numpy(tokens_of(2))).logits.numpy()
    adapted.peft_config["default"].base_model_name_or_path = "base"
    adapted.save_pretrained(HERE / "peft")
    (HERE / "peft/README.md").unlink(missing_ok=True)
    np.savez_compressed(HERE / "peft.npz", logits=logits, **tensors)


if __name__ == "__main__":
    assert tiny_qwen2_config(61)["tie_word_embeddings"], "the head of the golden model is its embedding"
    main()
