"""Which of the processes that share a run this one is."""


def is_primary() -> bool:
    """Return whether this process writes what the run leaves behind: the first one does, for all."""
    import jax

    index: int = jax.process_index()  # pyright: ignore[reportUnknownMemberType] - jax's is partial
    return index == 0
