"""Whether parameters fit the programs that read them: everybody named is there, and every one read is declared."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from remit.config import files as names
from remit.config.reading import Loaded
from remit.config.source import Path, Source
from remit.domain.agents import AgentVersion
from remit.errors import Problem

ReferenceProblem = Callable[[Loaded, Source, Path, str], Iterator[Problem]]
"""Says what is wrong with a reference to a person or role at some place of a file."""


def check_parameters(loaded: Loaded, reference_problem: ReferenceProblem) -> Iterator[Problem]:
    """Parameters without their people, parameters that no program could read, and readings of what is not there."""
    for name, agent in loaded.project.agents.items():
        file = f"agents/{name}/{names.PARAMETERS}"
        source = loaded.sources.get(file)
        for parameter, spec in agent.parameters.items() if source is not None else ():
            for key in ("tune", "approve"):
                reference = getattr(spec, key)
                if reference is not None and source is not None:
                    yield from reference_problem(loaded, source, ("parameters", parameter, key), reference)
        if source is not None and not agent.is_program:
            yield source.problem((), "only programs read parameters", "write a program.py, or remove this file")
        if file not in loaded.unreadable:
            yield from _unknown(agent, loaded.declared(file, "parameters") or set())


def _unknown(agent: AgentVersion, declared: set[str]) -> Iterator[Problem]:
    for path, content in sorted(agent.files.items()):
        for node in _read_parameters(content) if path.endswith(".py") else ():
            if node.attr not in declared:
                known = ", ".join(sorted(declared)) or "none"
                yield Problem(
                    f"agents/{agent.agent}/{path}",
                    node.lineno,
                    node.col_offset + 1,
                    f"the agent has no parameter {node.attr}; declared: {known}",
                    f"declare it in agents/{agent.agent}/{names.PARAMETERS}",
                )


def _read_parameters(content: bytes) -> Iterator[ast.Attribute]:
    """Every `session.parameters.NAME` in a file; nothing of one that is no Python, which is told elsewhere."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="session"), attr="parameters")):
                yield node
