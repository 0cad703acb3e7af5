"""A causal language model as configuration, parameters and pure functions, and the step that trains it."""
