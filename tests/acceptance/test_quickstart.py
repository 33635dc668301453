"""The quickstart, followed literally: its blocks marked `run` and `background` are run in order, in one folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
BLOCK = re.compile(r"<!-- (?P<how>run|background)(?:: (?P<code>\d+))? -->\n```sh\n(?P<text>.*?)```\n", re.DOTALL)


@dataclass
class Reader:
    """Somebody who does what the page says, at two terminals."""

    folder: Path
    environment: dict[str, str]
    background: subprocess.Popen[bytes] | None = None

    def follow(self, how: str, text: str, code: int) -> str:
        if how == "background":
            self.leave_running(text)
            return ""
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{self.with_item(text)}\npwd > {self.place}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == code, f"{text}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        if self.place.exists():
            self.folder = Path(self.place.read_text().strip())
        return done.stdout + done.stderr

    @property
    def place(self) -> Path:
        return Path(self.environment["HOME"]) / "place"

    @property
    def log(self) -> Path:
        return Path(self.environment["HOME"]) / "log"

    def leave_running(self, text: str) -> None:
        with self.log.open("wb") as log:
            command = ["bash", "-c", f"exec {text.strip()}"]
            self.background = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while "Ctrl-C ends it" not in self.log.read_text():
            assert self.background.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def with_item(self, text: str) -> str:
        """The reader copies the id of the one open item from `remit inbox`."""
        if not re.search(r"\bITEM\b", text):
            return text
        listed = subprocess.run(
            ["remit", "inbox", "--json"], cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        items = [item["id"] for item in json.loads(listed.stdout)]
        assert len(items) == 1, items
        return re.sub(r"\bITEM\b", items[0], text)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    home, clone = tmp_path / "home", tmp_path / "remit"
    home.mkdir()
    clone.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("REMIT_") and k != "PYTHONPATH"}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    found = Reader(clone, {**kept, "PATH": path, "HOME": str(home), "LOGNAME": "dana", "PYTHONFAULTHANDLER": "1"})
    yield found
    if found.background is not None and found.background.poll() is None:
        found.background.send_signal(signal.SIGINT)
        try:
            found.background.wait(40)
        except subprocess.TimeoutExpired:
            found.background.send_signal(signal.SIGABRT)  # it says where it stands
            found.background.wait(10)
            pytest.fail(f"remit up does not end:\n{found.log.read_text()}")
        finally:
            found.background.kill()
            found.background.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_quickstart_works_as_it_is_written(reader: Reader) -> None:
    blocks = [(m["how"], m["text"], int(m["code"] or 0)) for m in BLOCK.finditer(PAGE.read_text("utf-8"))]
    marks = PAGE.read_text("utf-8").count("<!-- ")
    assert len(blocks) == marks > 10, "every mark stands before a block"
    said = [reader.follow(*block) for block in blocks]
    told = "\n".join(said)
    for promised in (
        "hello: 6 of 6 gates",
        "notes.write by hello: needs approval",
        "needs_human_approval_about_money",
        "waiting: approval",
        "approved by",
        "waiting: question",
        "answered by",
        "waiting: stop",
        "The record is whole.",
        "This is not what was recorded.",
    ):
        assert promised in told, f"the page promises {promised!r}:\n{told}"
    sessions = json.loads(
        subprocess.run(
            ["remit", "sessions", "--json"], cwd=reader.folder, env=reader.environment, capture_output=True, check=True
        ).stdout
    )
    assert len(sessions) == 4
