"""Model families: flax.nnx modules that become pure functions over a tree of parameters."""
