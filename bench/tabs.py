"""What open tabs cost a server while nothing happens: processor time of the serving process, read from the system."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.acceptance.cockpit.office import Office

from remit import asgi
from remit.bootstrap import open_services
from remit.storage import stream
from remit.surfaces.http.guard import COOKIE

SECONDS = 20.0


def measure(office: Office, *, tabs: int = 200, seconds: float = SECONDS) -> dict[str, Any]:
    """Open that many event streams on a server process of its own, and read what they take of a core."""
    folder = office.services.folder
    serving = subprocess.Popen(
        [sys.executable, "-m", "bench.tabs", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert serving.stdout is not None
        port = int(serving.stdout.readline())
        with office.services.sessions.transaction() as db:
            position = stream.now(db)
        return asyncio.run(_open(serving.pid, port, office.token("ada"), position, tabs, seconds))
    finally:
        serving.terminate()
        serving.wait(30)


async def _open(pid: int, port: int, token: str, position: str, tabs: int, seconds: float) -> dict[str, Any]:
    writers = []
    try:
        for _ in range(tabs):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            asked = f"GET /live?after={position} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {COOKIE}={token}\r\n\r\n"
            writer.write(asked.encode())
            answer = await asyncio.wait_for(reader.readuntil(b": here\n\n"), 30)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        await asyncio.sleep(2)
        before, began = _seconds_of(pid), time.perf_counter()
        await asyncio.sleep(seconds)
        used, took = _seconds_of(pid) - before, time.perf_counter() - began
    finally:
        for writer in writers:
            writer.close()
    return {"tabs": tabs, "percent_of_a_core": round(100 * used / took, 1)}


def _seconds_of(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(folder: Path) -> None:
    """Serve a project without a worker, and say where."""
    with open_services(folder) as services:
        server = asgi.Server(services, "127.0.0.1", 0)
        print(server.url.rpartition(":")[2], flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(server(asyncio.Event()))


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
