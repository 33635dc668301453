"""The repository as the contract tests see it: its files, and its code as trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "remit"
TEMPLATE = PACKAGE / "config" / "template"
"""Files of a user's project, which are shipped but are not part of the program."""


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git knows or would take; where there is no git, every file that is no product of a tool."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = [
            str(path.relative_to(ROOT))
            for path in ROOT.rglob("*")
            if not any(p.startswith(".") or p == "__pycache__" for p in path.relative_to(ROOT).parts[:-1])
        ]
    return tuple(sorted(ROOT / name for name in listed if (ROOT / name).is_file()))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def modules(folder: Path = PACKAGE) -> list[Path]:
    """The program's own Python files."""
    return [p for p in sorted(folder.rglob("*.py")) if TEMPLATE not in p.parents]


def name(path: Path) -> str:
    """A path as it is written in lists: seen from the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, by its full name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
