"""YAML presets of burnish-sft."""
