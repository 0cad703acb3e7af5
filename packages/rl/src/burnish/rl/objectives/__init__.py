"""What an update minimises: one objective per file, and the mismatch that is measured beside it."""
