"""The bundle holds exactly what matters, and its digest covers it."""

from __future__ import annotations

import hashlib
import os

import pytest

from remit.config import bundle
from remit.config.bundle import content_digest, read_bundle
from remit.config.loader import load_project
from remit.errors import ProjectInvalid


@pytest.fixture
def folder(tmp_path):
    for path, text in {
        "remit.toml": '[project]\nname = "p"\n[models."script:x"]\nscript = "scripts/x.py"\n',
        "connections.yaml": "connections:\n  a: {transport: stdio, command: [python, servers/a.py, ./seed]}\n",
        "directory.yaml": "{}",
        "tools.lock.json": "{}",
        "policies/base.cedar": "// none",
        "policies/notes.txt": "not read",
        "agents/x/agent.yaml": "title: x",
        "agents/x/skills/s/SKILL.md": "skill",
        "agents/x/.swp": "editor",
        "agents/x/__pycache__/p.pyc": "compiled",
        "agents/x/old.md~": "editor",
        "servers/a.py": "import b",
        "servers/b.py": "x = 1",
        "seed/data.json": "[]",
        "scripts/x.py": "respond = None",
        "unrelated/y.py": "no",
        "README.md": "no",
        ".remit/deploy.key": "secret",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def problems(folder) -> list[str]:
    with pytest.raises(ProjectInvalid) as caught:
        read_bundle(folder)
    return [str(p) for p in caught.value.problems]


def test_what_is_in_it(folder):
    assert list(read_bundle(folder)) == [
        "agents/x/agent.yaml", "agents/x/skills/s/SKILL.md", "connections.yaml", "directory.yaml",
        "policies/base.cedar",
        "remit.toml", "scripts/x.py", "seed/data.json", "servers/a.py", "servers/b.py", "tools.lock.json",
    ]  # fmt: skip


def test_the_digest_is_over_sorted_paths_and_contents():
    files = {"b": b"2", "a": b"1"}
    lines = "".join(f"{p}\0{hashlib.sha256(files[p]).hexdigest()}\n" for p in ("a", "b"))
    assert content_digest(files) == hashlib.sha256(lines.encode()).hexdigest()
    assert content_digest({"a": b"1", "b": b"2"}) == content_digest(files)
    assert len({content_digest(f) for f in ({"a": b"2", "b": b"1"}, {"ab": b"1"}, {"a": b"b1"}, files, {})}) == 5


def test_a_change_of_any_file_changes_the_digest(folder):
    before = content_digest(read_bundle(folder))
    for path in read_bundle(folder):
        old = (folder / path).read_bytes()
        (folder / path).write_bytes(old + b"\n")
        assert content_digest(read_bundle(folder)) != before, path
        (folder / path).write_bytes(old)
    assert content_digest(read_bundle(folder)) == before


@pytest.mark.parametrize(
    "path", ["remit.toml", "agents/x/link.md", "policies/l.cedar", "servers/l.py", "directory.yaml"]
)
def test_a_symlink_is_refused(folder, tmp_path_factory, path):
    outside = tmp_path_factory.mktemp("outside") / "f"
    outside.write_text("x")
    (folder / path).unlink(missing_ok=True)
    (folder / path).symlink_to(outside)
    assert problems(folder) == [
        f"{path}:1:1: error: this is a symlink (put the file itself here: a signature cannot cover a link)"
    ]


@pytest.mark.parametrize("path", ["agents", "policies", "servers", "agents/x"])
def test_a_linked_folder_is_refused(folder, tmp_path_factory, path):
    outside = tmp_path_factory.mktemp("outside") / "d"
    (folder / path).rename(outside)
    (folder / path).symlink_to(outside)
    assert [p.partition(":")[0] for p in problems(folder)] == [path]


@pytest.mark.parametrize("argument", ["../other.py", "servers/../../x.py", "servers/.."])
def test_a_command_that_leads_out_is_refused_where_it_is_named(folder, argument):
    (folder / "connections.yaml").write_text(f"connections:\n  a:\n    command: [python, {argument}]\n")
    assert [p.split(": error")[0] for p in problems(folder)] == ["connections.yaml:3:23"]


@pytest.mark.parametrize(
    "argument", ["/usr/bin/env", "--seed=../x", ".remit/deploy.key", "http://x/../y", "absent.py", ".", "''"]
)
def test_arguments_that_name_nothing_of_the_project_bring_nothing(folder, argument):
    (folder / "connections.yaml").write_text(f"connections:\n  a: {{command: [python, {argument!r}]}}\n")
    assert not any(p.startswith(("servers", ".remit", "unrelated")) for p in read_bundle(folder))


def test_a_script_in_the_project_folder_comes_alone(folder):
    (folder / "server.py").write_text("x")
    (folder / "other.py").write_text("x")
    (folder / "connections.yaml").write_text("connections: {a: {command: [python, server.py]}}")
    files = read_bundle(folder)
    assert "server.py" in files
    assert "other.py" not in files


def test_a_file_that_becomes_a_link_while_it_is_read_is_not_followed(folder, monkeypatch):
    (folder / "agents/x/agent.yaml").unlink()
    (folder / "agents/x/agent.yaml").symlink_to(folder / "README.md")
    monkeypatch.setattr(bundle.stat, "S_ISLNK", lambda _: False)
    assert [p.partition(":")[0] for p in problems(folder)] == ["agents/x/agent.yaml"]


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "agents/x/pipe")
    assert problems(folder) == ["agents/x/pipe:1:1: error: this is not an ordinary file (remove it from the project)"]


def test_names_that_no_path_may_have(folder):
    (folder / "agents/x/a\nb").write_text("x")
    (folder / os.fsdecode(b"agents/x/\xff")).write_text("x")
    found = problems(folder)
    assert len(found) == 2
    assert all("characters that no path here may have" in p and p.isprintable() for p in found)


def test_size_and_number_are_limited(folder, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_TOTAL", 1_000)
    (folder / "agents/x/big.bin").write_bytes(b"x" * 2_000)
    assert len(problems(folder)) == 1
    (folder / "agents/x/big.bin").unlink()
    assert read_bundle(folder)
    monkeypatch.setattr(bundle, "MAX_FILES", 3)
    assert len(problems(folder)) == 1


def test_no_folder(tmp_path):
    assert "is not a folder" in problems(tmp_path / "absent")[0]
    with pytest.raises(ProjectInvalid):
        load_project(tmp_path / "absent")
