"""Generative recommendation with semantic IDs: the item catalog and ranking metrics."""
