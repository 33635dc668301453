"""Settings from the environment, and the project's files."""
