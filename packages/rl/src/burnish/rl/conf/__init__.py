"""YAML presets of burnish-rl."""
