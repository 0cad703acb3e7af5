"""The optimizers of this package, one per file, and what they share."""
