"""From the words of a command to a checked, typed configuration: components, slots, composition."""
