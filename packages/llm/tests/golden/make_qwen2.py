"""Write `qwen2.npz`: logits of transformers' Qwen2 on weights that numpy makes from each tensor's name.

Run `python packages/llm/tests/golden/make_qwen2.py` where torch is installed.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

CONFIG = {
    "model_type": "qwen2",
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "rope_theta": 100.0,
    "rms_norm_eps": 1e-3,
    "max_position_embeddings": 64,
}


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return fp32 values of spread .3 around 0, around 1 for norms (RandomState's stream never changes)."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return (0.3 * values + name.endswith("norm.weight")).astype(np.float32)


def main() -> None:
    """Write the file beside this one."""
    tokens = np.random.RandomState(0).randint(0, CONFIG["vocab_size"], (2, 13))
    arrays = {"tokens": tokens}
    for is_tied in (True, False):
        config = {**CONFIG, "tie_word_embeddings": is_tied}
        model = Qwen2ForCausalLM(Qwen2Config(**config)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.from_numpy(weights(name, tuple(parameter.shape))))
            logits = model(torch.from_numpy(tokens)).logits.numpy()
        key = "tied" if is_tied else "untied"
        arrays[f"{key}_config"] = np.array(json.dumps(config))
        arrays[f"{key}_logits"] = logits
    np.savez_compressed(Path(__file__).with_name("qwen2.npz"), **arrays)


if __name__ == "__main__":
    main()
