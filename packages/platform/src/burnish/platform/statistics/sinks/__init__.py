"""Where statistics go: a file of JSON rows, the console, TensorBoard."""
