"""What a process does before it computes for a run: flags, cache and memory as the options say."""

from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.accelerator import prepare_jax
from burnish.platform.device.host_memory import keep_freed_memory
from burnish.platform.device.mesh import arranged


def take_devices(config: JaxConfig) -> JaxConfig:
    """Set this process up and return the options for the devices that it has.

    ConfigError where the devices cannot be arranged so, or where it is too late for a flag.
    """
    prepare_jax(deterministic=config.deterministic, compilation_cache=config.compilation_cache)
    found = arranged(config)
    if config.keep_host_memory:
        keep_freed_memory()
    return found
