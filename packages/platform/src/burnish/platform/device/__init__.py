"""What computes: mesh, memory, compiled programs, random keys; the only wing that is about jax alone."""
