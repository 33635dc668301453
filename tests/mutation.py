"""What a mutation is: a check of the product that is dropped, and the tests that should notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutation:
    """A check that is dropped: in which files which text becomes which, and the tests that should notice."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: str
    only: str = ""
    """An expression for pytest's -k."""


def one(name: str, file: str, old: str, new: str, tests: str, only: str = "") -> Mutation:
    """A mutation of one place."""
    return Mutation(name, ((file, old, new),), tests, only)


def mutated(mutation: Mutation) -> dict[str, str]:
    """The files as the mutation makes them. Raises LookupError where the code does not hold what it replaces, once."""
    files: dict[str, str] = {}
    for file, old, new in mutation.edits:
        text = files.get(file) or (ROOT / "src/remit" / file).read_text()
        if text.count(old) != 1:
            raise LookupError(f"STALE: {file} has {text.count(old)} of {old!r}")
        files[file] = text.replace(old, new)
    return files
