import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.platform.device.keys import fold_words
from burnish.platform.device.randomness import Purpose, derived_seed, key_words, mix
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


def test_key_words_are_the_five_in_order():
    assert key_words(1, 2, 3, Purpose.ROLLOUT, 4) == (1, 2, 3, 2, 4)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_key_words_out_of_range_are_named(seed):
    with pytest.raises(ConfigError, match=f"seed {seed} is out of range"):
        key_words(seed, 0, 0, Purpose.DATA, 0)


def test_fold_words_equals_chained_fold_in():
    words = np.array(
        [key_words(0, 1, 2, Purpose.ROLLOUT, 3), key_words(2**32 - 1, 0, 0, Purpose.DATA, 9)], np.uint32
    )
    for key, row in zip(fold_words(jnp.asarray(words)), words, strict=True):
        expected = jax.random.key(0)
        for word in row:
            expected = jax.random.fold_in(expected, word)
        assert (jax.random.key_data(key) == jax.random.key_data(expected)).all()


def test_fold_words_of_a_row_does_not_depend_on_its_mates():
    words = np.arange(20, dtype=np.uint32).reshape(4, 5)
    together = jax.random.key_data(fold_words(jnp.asarray(words)))
    alone = jax.random.key_data(fold_words(jnp.asarray(words[2:3])))
    assert (together[2] == alone[0]).all()
    assert len(np.unique(np.asarray(together), axis=0)) == 4


def test_derived_seed_depends_on_every_word_and_the_order():
    seeds = {derived_seed(*words) for words in [(0,), (0, 0), (0, 1), (1, 0), (0, 0, 0)]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_mix_is_splitmix64():
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # first output of the reference generator at seed 0


def test_randomness_does_not_import_jax():
    code = "import sys, burnish.platform.device.randomness; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
