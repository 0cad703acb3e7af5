"""The options of every component of this package, one file per slot, importable without jax."""
