"""What a worker has at hand for the bundle in force: its files on disk, its connections, its models."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from remit.domain import canonical
from remit.domain.builtins import is_builtin
from remit.errors import ConfigurationError, IntegrityError
from remit.governance.deployments import Deployments
from remit.runtime.connections import Connections
from remit.runtime.model_agents import ModelRegistry

log = logging.getLogger(__name__)

_CALLS_END = 60.0  # seconds that calls under way on an older bundle's connections are left


class Surroundings:
    """Connections and models of the bundle in force; both are made anew when another bundle comes into force."""

    def __init__(
        self, state: Path, deployments: Deployments, secrets: Callable[[str], str], *, isolation: str = "auto"
    ) -> None:
        self._state = state
        self._deployments = deployments
        self._secrets = secrets
        self._isolation = isolation
        self._digest = ""
        self._connections: Connections | None = None
        self._models: ModelRegistry | None = None
        self._closing: set[asyncio.Task[object]] = set()
        self._ending = asyncio.Event()

    def connections(self) -> Connections:
        """The connections of the bundle in force."""
        self._follow()
        assert self._connections is not None, "following makes them"
        return self._connections

    def models(self) -> ModelRegistry:
        """The models of the bundle in force."""
        self._follow()
        assert self._models is not None, "following makes them"
        return self._models

    def tool_changed(self, action: str) -> bool:
        """True if a server offers a tool otherwise than it was pinned, as far as that is known already."""
        if self._connections is None or is_builtin(action):
            return False
        connection, _, tool = action.partition(".")
        return self._connections.tool_state(connection, tool) in {"changed", "missing"}

    async def warm(self) -> None:
        """Start every server now, so that no clearance runs out while one is started. What fails is tried later."""
        try:
            connections = self.connections()
        except ConfigurationError:
            return  # nothing is deployed yet
        for name, trouble in (await connections.warm()).items():
            log.warning("connection %s cannot be opened yet: %s", name, trouble)

    async def close(self) -> None:
        """End every server, also those that were left to finish calls of an older bundle."""
        self._ending.set()
        if self._connections is not None:
            await self._connections.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _follow(self) -> None:
        governance = self._deployments.current()
        if governance.bundle_digest == self._digest:
            return
        project, old = governance.project, self._connections
        folder = unpack(project.files, self._state / "bundles" / governance.bundle_digest[:16])
        self._connections = Connections(
            folder,
            project.connections,
            self._secrets,
            pins=project.pins,
            isolation=self._isolation,
            state_folder=self._state,
        )
        self._models = ModelRegistry(project.settings.models, self._secrets, folder)
        self._digest = governance.bundle_digest
        self._later(self._connections.warm())
        if old is not None:
            # Calls under way on the old ones finish; their servers end when they are done or time out.
            self._later(self._close_later(old))

    async def _close_later(self, connections: Connections) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), _CALLS_END)
        await connections.close()

    def _later(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def unpack(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write a verified bundle's files to a folder, whole or not at all. Raises IntegrityError if others stand there."""
    if not folder.exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder.parent))
        for path, content in files.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            staging.rename(folder)
        except OSError:
            shutil.rmtree(staging)  # another worker was faster
    for path, content in files.items():
        target = folder / path
        if not target.is_file() or canonical.digest_bytes(target.read_bytes()) != canonical.digest_bytes(content):
            raise IntegrityError(
                f"{target} is not what was deployed", advice=f"Remove the folder {folder}; it is written anew."
            )
    return folder
