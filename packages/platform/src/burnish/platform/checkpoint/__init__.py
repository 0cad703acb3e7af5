"""Saving and restoring: array backends, the manifest that guards them, and the manager that rotates them."""
