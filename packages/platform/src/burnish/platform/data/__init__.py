"""Records by index, the order they are read in, and the sources that come with the package."""
