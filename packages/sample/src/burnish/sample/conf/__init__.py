"""YAML presets of burnish-sample."""
