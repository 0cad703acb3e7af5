"""What a checkpoint has to hold, where updates alone would not be a model."""

import pytest

from burnish.llm.bundle import ModelContext
from burnish.llm.config.lora import LoRA
from burnish.llm.config.model import Tiny
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import ConfigError

SMALL = Tiny(hidden_size=32, num_heads=2, num_kv_heads=1, intermediate_size=48)


def test_updates_of_a_model_without_files_are_kept_with_it(mesh):
    bundle = SMALL.build(ModelContext(tokenizer=ByteTokenizer()))

    def build(checkpoint):
        context = TrainingContext(
            model=bundle.model,
            load=bundle.load,
            optimizer=AdamW(),
            total_steps=1,
            mesh=mesh(1, 1),
            jax=JaxConfig(),
        )
        return LoRA(checkpoint=checkpoint).build(context)

    with pytest.raises(ConfigError, match=r"model lies in no files .*set checkpoint=all"):
        build("adapters")
    assert {"params", "adapters"} < set(build("all").save_state().trees)


@pytest.mark.parametrize("named", [{"trainable": ("final_norm",)}, {"trainable_rows": {"embed": 3}}])
def test_what_is_trained_in_full_is_kept_with_the_model(named):
    with pytest.raises(ConfigError, match="would hold nothing of what trainable"):
        LoRA(checkpoint="adapters", **named)
    LoRA(checkpoint="all", **named)
    LoRA(checkpoint="adapters")
