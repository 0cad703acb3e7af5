"""Generative recommendation with semantic IDs: the item catalog, interactions and ranking metrics."""
