"""The only SQL. Modules mirror `domain/`."""
