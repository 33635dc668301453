"""The command line as a user has it: a folder, and `remit …` in it."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from remit.surfaces.cli.main import main

ACME = Path(__file__).resolve().parents[3] / "examples" / "acme"


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it exited."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Remit:
    """`remit …` for one project. In this process, because starting one for each command would take minutes."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {"REMIT_PROJECT": str(folder), **environment}

    def __call__(self, *arguments: str, code: int | None = 0, stdin: str = "", **environment: str) -> Said:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with (
            mock.patch.dict(os.environ, {**self.environment, **environment}),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as exited,
        ):
            main(list(arguments))
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode("utf-8"))
        said = Said(int(exited.value.code or 0), *texts)
        assert code in {None, said.code}, f"remit {' '.join(arguments)} exited {said.code}:\n{said.out}{said.err}"
        assert "Traceback" not in said.err
        return said

    def refused(self, *arguments: str, code: int = 1, **environment: str) -> str:
        """What a command says that does not do it."""
        said = self(*arguments, code=code, **environment)
        assert said.err.count("\n") >= 2, f"no advice: {said.err}"
        return said.err


@contextlib.contextmanager
def running(folder: Path, command: str = "up", **environment: str):
    """`remit up` in a process of its own, until the block ends."""
    ready, log = folder.parent / f"{command}-ready", folder.parent / f"{command}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "remit", command, str(folder), "--ready-file", str(ready)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        try:
            until = time.monotonic() + 60
            while not ready.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            assert int(ready.read_text()) == process.pid
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            code = process.wait(40)
    assert code == 0, log.read_text()
    assert not ready.exists()


def waiting(session):
    """The one thing that a session waits for."""
    (item,) = [i for i in session["items"] if i["status"] == "open"]
    return item


def actions(session, name):
    """The session's actions of one type."""
    return [a for a in session["actions"] if a["action"] == name]


def at_rest(remit, session_id, seconds=20):
    """The session as JSON, once nobody works on it."""
    until = time.monotonic() + seconds
    while True:
        shown = remit("session", "show", session_id, "--json").json
        if shown["status"] != "running":
            return shown
        assert time.monotonic() < until, shown
        time.sleep(0.1)
