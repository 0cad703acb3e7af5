"""What an update minimizes: one objective per file, and the mismatch that is measured beside it."""
