"""The shapes that the command line's `--json` and the API have in common: field to meaning. Plain data, no imports."""
