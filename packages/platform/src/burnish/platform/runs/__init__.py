"""One run: its directory, its chain of stages, where it starts and how it ends."""
