import numpy as np
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.optimizer import OptimizerContext

pytestmark = pytest.mark.fast

PEAK = 0.01


@pytest.fixture
def built(hf_config):
    """Return a maker of optimizers over a number of steps."""

    def build(total_steps, **options):
        context = OptimizerContext(
            total_steps=total_steps, model=Qwen2().build(FamilyContext(hf_config=hf_config))
        )
        return AdamW(learning_rate=PEAK, **options).build(context)

    return build


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1]),
        ({"schedule": "constant", "warmup_steps": 2}, [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ({"schedule": "linear", "warmup_steps": 2}, [1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4]),
        ({"schedule": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        (
            {"schedule": "cosine", "warmup_steps": 2},
            [1 / 3, 2 / 3, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2],
        ),
        (
            {"schedule": "warmup_stable_decay", "warmup_steps": 1, "decay_fraction": 0.5},
            [1 / 2, 1, 1, 1, 2 / 3, 1 / 3],
        ),
        ({"schedule": "warmup_stable_decay", "decay_fraction": 0.0}, [1, 1, 1, 1, 1, 1]),
        ({"schedule": "linear", "warmup_steps": 11}, [1 / 12, 2 / 12, 3 / 12, 4 / 12, 5 / 12, 6 / 12]),
    ],
)
def test_schedule_when_six_steps_then_equals_hand_computed(built, options, expected):
    optimizer = built(6, **options)
    rates = np.array([optimizer.hyper(step)["learning_rate"] for step in range(6)]) / PEAK
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-7)
