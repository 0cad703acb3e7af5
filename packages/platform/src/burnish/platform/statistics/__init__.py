"""Numbers of a step: collected, committed to every sink, summarized at the end."""
