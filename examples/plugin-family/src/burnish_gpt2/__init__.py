"""GPT-2, written in flax, as a model family of burnish."""
