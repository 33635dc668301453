"""A program at a terminal, as somebody sits there: what it shows, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path


class AtTerminal:
    """A process whose input and output are a terminal of its own."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """Everything that it has shown, without colours and movements of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._said.decode("utf-8", "replace"))

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until it shows what is meant. Fails if it ends before, or takes longer."""
        until = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.said)
            if found:
                return found
            assert not ended, f"it ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < until, f"it did not show {pattern!r}:\n{self.said}"
            time.sleep(0.1)

    def interrupt(self, seconds: float) -> int:
        """Ctrl-C, which a terminal sends to every process that shares it. The exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(seconds)

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(5)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                more = os.read(self._ours, 65_536)
            except OSError:  # so Linux says that nobody holds the other end any more
                return
            if not more:
                return
            self._said += more
