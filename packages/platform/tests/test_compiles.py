import jax
import jax.numpy as jnp
import pytest

from burnish.platform.device.compiles import CompileCounter

pytestmark = pytest.mark.fast


def test_read_counts_new_programs_once_and_repeated_calls_never():
    counter, late = CompileCounter(), None
    double = jax.jit(lambda x: x * 2.5)
    small, large = jnp.zeros(3), jnp.zeros(4)
    counter.read()
    double(small)
    assert counter.read().programs == 1
    late = CompileCounter()
    double(small)
    assert counter.read() == (0, 0.0)
    double(large)
    first, second = counter.read(), late.read()
    assert first == second
    assert first.programs == 1
    assert first.seconds > 0
