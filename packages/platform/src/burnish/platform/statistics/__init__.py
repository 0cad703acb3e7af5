"""Numbers of a step: collected, committed to every sink, summarised at the end."""
