"""Configuration, components, runs, checkpoints, statistics and data for burnish: knows no model, token or reward."""
