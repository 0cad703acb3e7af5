"""A causal language model as configuration, parameters and pure functions: families, tokenizers, batches, objectives and the train step."""
