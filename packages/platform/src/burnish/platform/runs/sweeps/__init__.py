"""Sweeps: many runs from one command, by Hydra's own sweepers and launchers."""
