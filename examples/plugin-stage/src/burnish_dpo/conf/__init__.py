"""The presets of this plugin; the file makes the directory an import package, which Hydra asks for."""
