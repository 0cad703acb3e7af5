import json
import os
import subprocess
import sys

import jax
import pytest

from burnish.platform.device.accelerator import prepare_jax
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast

_PROGRAM = """
import json, os, sys
from burnish.platform.device.accelerator import prepare_jax
from burnish.platform.configuration.config import JaxConfig
assert "jax" not in sys.modules
prepare_jax(deterministic=True, compilation_cache=sys.argv[1])
import jax
jax.jit(lambda x: x + 1)(1.0)
print(json.dumps([os.environ["XLA_FLAGS"], len(os.listdir(sys.argv[1]))]))
"""


def test_apply_before_jax_sets_the_flag_and_fills_the_cache(tmp_path):
    environment = {**os.environ, "XLA_FLAGS": ""}
    output = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "cache")],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    flags, entries = json.loads(output)
    assert flags == "--xla_gpu_deterministic_ops=true"
    assert entries > 0


def test_apply_of_determinism_after_a_device_was_used_is_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    jax.devices()
    with pytest.raises(ConfigError, match="comes too late"):
        prepare_jax(deterministic=True)
