"""Prompts and weights to completions, and what they are worth: engines, sampling, rewards and evaluation."""
