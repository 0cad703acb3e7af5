"""How much better a completion is than what was to be expected: one estimator per file."""
