"""Write `families.npz`: logits of transformers on tiny models of each family, with weights made from names.

Run `python packages/llm/tests/golden/make_families.py` where torch is installed.
"""

import json
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent


def weights(name: str, shape: tuple[int, ...], *, is_centered: bool) -> np.ndarray:
    """Return what a tensor of this name holds."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return (0.3 * values + (is_centered and name.endswith("norm.weight"))).astype(np.float32)


def case(kind: str, options: dict, common: dict, tokens: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the config and the logits of one case."""
    config = getattr(transformers, f"{kind}Config")(**common | options)
    family = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")
    with tempfile.TemporaryDirectory() as directory:
        family(config).save_pretrained(directory)
        file = Path(directory) / "model.safetensors"
        made = {
            name: weights(name, tensor.shape, is_centered="Gemma" not in kind)
            for name, tensor in load_file(file).items()
        }
        save_file(made, file, metadata={"format": "pt"})
        model = family.from_pretrained(directory, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens)).logits.numpy()
    return config.to_json_string(use_diff=False), logits


def main() -> None:
    """Write the file."""
    given = json.loads((HERE / "families.json").read_text())
    arrays = {"tokens": np.random.default_rng(1).integers(0, given["common"]["vocab_size"], (1, 17))}
    for name, (kind, options) in given["cases"].items():
        arrays[f"{name} config"], arrays[f"{name} logits"] = case(
            kind, options, given["common"], arrays["tokens"]
        )
    np.savez_compressed(HERE / "families.npz", **arrays)


if __name__ == "__main__":
    main()
