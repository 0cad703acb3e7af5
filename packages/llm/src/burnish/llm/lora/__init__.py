"""Training of low-rank updates beside frozen matrices (LoRA, https://arxiv.org/abs/2106.09685)."""
