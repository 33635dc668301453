"""`remit --help` answers at once because it imports next to nothing. What is imported is counted, not the time."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRINT = """
import sys
from remit.surfaces.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("MODULES", end.code, *sorted(sys.modules))
"""


def modules_of(*arguments: str) -> tuple[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PRINT, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    said, _, listed = done.stdout.rpartition("MODULES ")
    code, *modules = listed.split()
    assert code == "0", done.stdout + done.stderr
    return said, set(modules)


def test_help_imports_nothing_heavy():
    said, loaded = modules_of("--help")
    assert "start" in said
    ours = {m for m in loaded if m.partition(".")[0] == "remit"}
    assert ours == {"remit", "remit.surfaces", "remit.surfaces.cli", "remit.surfaces.cli.main"}
    outside = {m.partition(".")[0] for m in loaded} - set(sys.stdlib_module_names) - {"remit", "__main__"}
    assert {m for m in outside if not m.startswith("_")} == {"click"}
    assert not loaded & {"asyncio", "sqlite3", "multiprocessing", "unittest"}


@pytest.mark.parametrize("command", ["start", "inbox", "decide", "audit", "policy", "up", "check", "stop"])
def test_help_of_a_command_imports_no_library(command: str):
    _, loaded = modules_of(command, "--help")
    heavy = {
        "pydantic",
        "psycopg",
        "sqlalchemy",
        "dbos",
        "pydantic_ai",
        "cedarpy",
        "cryptography",
        "rich",
        "fastmcp",
        "mcp",
    }
    assert loaded & heavy == set()


def test_the_version_needs_no_project():
    said, _ = modules_of("--version")
    assert said.startswith("remit")
