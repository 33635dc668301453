"""Rules of the architecture that a reader of one file cannot see: who may do what, and who may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.source import PACKAGE, ROOT, imported, modules, name, tree

GATE = PACKAGE / "governance" / "gate.py"
FAKES = PACKAGE / "testing.py"
STORAGE = PACKAGE / "storage"
ENGINE = PACKAGE / "runtime" / "engine.py"
FAKE = PACKAGE / "fakes" / "store.py"  # the books of a stand-in of another system, in a file of its own
"""The one exception: it reads and writes the engine's own tables, which belong to nobody else."""


def calls(path: Path, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = node.func
            if (called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)) == function:
                yield node


def test_only_the_gate_makes_clearances():
    makers = {path for path in modules() if any(calls(path, "Clearance"))}
    assert makers == {GATE, FAKES}
    assert len(list(calls(GATE, "Clearance"))) == 1
    for made in calls(FAKES, "Clearance"):
        assert "_mint" not in {k.arg for k in made.keywords}, "a fake is never genuine"
        assert len(made.args) < 8, "nor by position"
    assert [p for p in modules() if re.search(r"\b_MINT\b", p.read_text("utf-8"))] == [GATE]


def test_nobody_copies_a_clearance():
    """`dataclasses.replace` and `copy` would carry the mint along, with other arguments or a later deadline."""
    for path in modules():
        for function in ("replace", "copy", "deepcopy"):
            for made in calls(path, function):
                assert "clearance" not in ast.unparse(made.args[0] if made.args else made.func).lower(), name(path)


SQL = re.compile(
    r"^\s*(select\b.*(\bfrom\b|\()|insert\s+into\b|update\s+[\w.]+(\s+\w+)?\s+set\b|delete\s+from\b|"
    r"set\s+(transaction|local)\b|create\s+(table|role|schema|index)\b|alter\s+\w+\b|truncate\b|with\s+\w+\s+as\s*\()",
    re.DOTALL,
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a file that is no docstring, with formatted ones as their constant parts."""
    found = tree(path)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(found)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(found):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def test_only_storage_holds_sql():
    found = {
        f"{name(path)}:{line}"
        for path in modules()
        if STORAGE not in path.parents and path not in {ENGINE, FAKE}
        for line, text in texts(path)
        if SQL.match(text)
    }
    assert found == set()


def test_only_storage_executes_statements():
    found = {
        f"{name(path)}:{made.lineno}"
        for path in modules()
        if STORAGE not in path.parents and path not in {ENGINE, FAKE}
        for made in calls(path, "execute")
        if made.args and isinstance(made.args[0], ast.Constant | ast.JoinedStr)
    }
    assert found == set()


def test_the_rule_about_sql_sees_sql():
    for text in ("select 1 from t", "  update remit.turns t set x = 1", "insert into remit.x values (1)"):
        assert SQL.match(text)
    assert any(SQL.match(text) for _, text in texts(STORAGE / "runs.py"))
    assert any(SQL.match(text) for _, text in texts(ENGINE))
    assert not SQL.match("select one of these")


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("cedarpy", ("governance/policy/",)),
        ("dbos", ("runtime/",)),
        ("pydantic_ai", ("runtime/", "testing.py")),
        ("alembic", ("storage/",)),
    ],
)
def test_a_library_has_one_home(library: str, allowed: tuple[str, ...]):
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        if any(module.partition(".")[0] == library for module in imported(path))
    }
    assert users, "the rule looks for something that is used"
    assert {user for user in users if not user.startswith(allowed)} == set()


def test_surfaces_do_not_import_each_other():
    surfaces = PACKAGE / "surfaces"
    for path in modules(surfaces):
        own = path.relative_to(surfaces).parts[0]
        allowed = {own, "http"}  # what those that speak HTTP share; it imports none of them
        others = {m for m in imported(path) if m.startswith("remit.surfaces.") and m.split(".")[2] not in allowed}
        assert others == set(), name(path)


def test_layers_import_downwards_only():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
