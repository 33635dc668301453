"""The command line. Names, exit codes and the shapes of `--json` are a contract; docs/reference/cli.md lists them."""
