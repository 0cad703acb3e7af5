"""YAML presets of burnish-platform."""
