"""Local stand-ins of well-known systems: `python -m remit.fakes NAME` is an MCP server that keeps a small database.

They do what their templates declare and no more: good for trying an agent, its policies and its undo before the real
system is connected. They are started behind the same wall as every server.
"""
