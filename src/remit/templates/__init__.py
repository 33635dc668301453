"""Starting points: agents for common chores, and connections to systems that many companies have."""
