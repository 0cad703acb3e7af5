"""Loading a checkpoint holds about one of its tensors on the host, beside the parameters themselves."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from burnish.llm import placement
from burnish.llm.placement import place_params
from burnish.llm.sharding import likeness_of
from burnish.llm.testing import tiny_qwen2
from burnish.llm.weights import load_huggingface, save_huggingface
from burnish.platform.device.mesh import build_mesh

SIZES = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 10}
"""300 MB in fp32: 10 layers of 28 MB, of which the largest tensor has 9.4 MB, and an embedding of 25 MB."""
LARGEST = 8000 * 768 * 4

RETURNING = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc gives back what is freed, so that what is held is seen."""


def made():
    return tiny_qwen2(vocab_size=8000, **SIZES)


def anonymous_bytes():
    """Return the memory of this process that no file backs: what was read of safetensors is not in it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


class Peak:
    """The most memory that was seen while it ran, looked at every millisecond."""

    def __enter__(self):
        self.before = self.most = anonymous_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(1e-3):
            self.most = max(self.most, anonymous_bytes())


def measure(directory, way):
    """Print the bytes beyond the parameters that loading held, and whether each parameter arrived."""
    jax.config.update("jax_num_cpu_devices", 2)
    model, small, mesh = made(), tiny_qwen2(vocab_size=61), build_mesh(fsdp=2)
    if way == "leaf":
        placement.ASSEMBLED_BYTES = 1 << 40
    like = likeness_of(model, "float32", mesh)
    place_params(small.init(0), likeness_of(small, "float32", mesh))
    with Peak() as peak:
        if way == "tree":
            read = jax.device_put(
                load_huggingface(directory, model, model.abstract("float32")),
                jax.tree.map(lambda leaf: leaf.sharding, like),
            )
        else:
            read = load_huggingface(directory, model, like)
        jax.block_until_ready(read)
    result = sum(leaf.nbytes for leaf in jax.tree.leaves(read))
    print(json.dumps({"beside": peak.most - peak.before - result, "result": result}))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Return a directory with the model, every page of it written."""
    directory, model = tmp_path_factory.mktemp("model"), made()
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), model.abstract("float32"))
    save_huggingface(directory, model, params, "float32", max_shard_bytes=10**8)
    return directory


def beside(directory, way):
    command = [sys.executable, __file__, str(directory), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=RETURNING)
    found = json.loads(done.stdout)
    assert found["result"] > 300 * 10**6
    return found["beside"]


@pytest.mark.skipif(sys.platform != "linux", reason="counts the pages that Linux tells of")
def test_loading_holds_about_one_tensor_beside_the_parameters(directory):
    held = {way: beside(directory, way) for way in ("tensor", "leaf", "tree")}
    assert held["tensor"] < 3 * LARGEST, held
    assert held["leaf"] > 3 * LARGEST, held
    assert held["tree"] > 250 * 10**6, held


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2])
