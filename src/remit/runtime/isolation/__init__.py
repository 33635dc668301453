"""Walls around child processes: Landlock and seccomp by themselves, or bubblewrap where it is installed.

Only the standard library is imported here: the launcher must start fast and must work before any package is in reach.
"""
