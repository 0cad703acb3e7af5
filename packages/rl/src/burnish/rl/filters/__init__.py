"""Which groups are worth an update: one filter per file."""
