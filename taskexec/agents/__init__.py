"""What performs tasks: the registry and the built-in agents."""
