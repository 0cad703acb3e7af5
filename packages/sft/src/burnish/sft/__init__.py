"""Supervised next-token training as a burnish stage."""
