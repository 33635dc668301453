"""What is deployed: signed bundles, verified before anything of them is used.

The keys that may sign stand in the `remit.toml` on this machine's disk, never in the database. Whoever can write to
the database can therefore neither change what agents may do nor make a worker load other code.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from remit.config.bundle import content_digest
from remit.config.loader import parse_project
from remit.domain.agents import AgentVersion
from remit.domain.project import Project
from remit.errors import ConfigurationError, IntegrityError, NotFound
from remit.governance.policy import PolicyEngine
from remit.governance.signing import Signature, load_key, sign_bundle, verify_bundle
from remit.governance.state import Governance
from remit.storage import bundles, knowledge
from remit.storage.database import connect
from remit.storage.sessions import Db


def deploy(
    db: Db, project: Project, key_file: Path, by: str, *, allowed: Iterable[str] | None = None
) -> tuple[str, int]:
    """Sign a checked project and put it in force. Returns (bundle digest, governance version).

    `allowed` are the public keys that may sign here; by default those of the project's own remit.toml. Raises
    IntegrityError if the key is not one of them.
    """
    digest = content_digest(project.files)
    signature = sign_bundle(digest, load_key(key_file))
    verify_bundle(digest, signature, project.settings.deploy.keys if allowed is None else allowed)
    for agent in project.agents.values():
        knowledge.index(db, agent)  # before the lock that storing takes, under which no action can be let through
    version = bundles.store(
        db,
        digest=digest,
        files=project.files,
        key_id=signature.key_id,
        signature=signature.signature,
        by=by,
        agents={name: agent.digest for name, agent in project.agents.items()},
    )
    return digest, version


class Deployments:
    """The snapshots of one process. Implements `GovernanceSource`."""

    def __init__(self, url: str, allowed_keys: Iterable[str]) -> None:
        self._url = url
        self._allowed = tuple(allowed_keys)
        self._current: Governance | None = None
        self._loading = threading.Lock()
        self._verified = lru_cache(maxsize=64)(self._verify)

    def current(self) -> Governance:
        """The newest snapshot of this process; loaded at first use."""
        return self._current or self.load()

    async def refresh(self) -> Governance:
        """Load what is in force now."""
        return await asyncio.to_thread(self.load)

    def load(self) -> Governance:
        """Load what is in force now. Raises ConfigurationError if nothing is, IntegrityError if it was not signed."""
        with self._loading, connect(self._url) as db:
            row = bundles.governance(db)
            if self._current is not None and self._current.version == row.version:
                return self._current
            if row.bundle_digest is None:
                raise ConfigurationError("nothing is deployed yet", advice="Run `remit deploy` first.")
            project = self._verified(row.bundle_digest)
            self._current = Governance(
                version=row.version,
                bundle_digest=row.bundle_digest,
                project=project,
                policy=self._policy(row.bundle_digest),
                suspended=row.suspended,
            )
            return self._current

    def version(self, agent: str, digest: str) -> AgentVersion:
        """An agent as a session began with it, from the bundle that first held it."""
        deployed = self.current().agent(agent)
        if deployed is not None and deployed.digest == digest:
            return deployed
        with connect(self._url) as db:
            bundle = bundles.bundle_of(db, agent, digest)
        found = self._verified(bundle).agents.get(agent) if bundle is not None else None
        if found is None:
            raise NotFound(f"agent {agent} was never deployed as version {digest[:12]}")
        if found.digest != digest:
            raise IntegrityError(f"the files of agent {agent} are not those of version {digest[:12]}")
        return found

    def _verify(self, digest: str) -> Project:
        """The project in a bundle, if its files are what a permitted deployer signed."""
        with connect(self._url) as db:
            stored = bundles.load(db, digest)
        if stored is None or content_digest(stored.files) != digest:
            raise IntegrityError(f"the files of bundle {digest[:12]} are not what was deployed")
        verify_bundle(digest, Signature(stored.key_id, stored.signature), self._allowed)
        return parse_project(stored.files)

    def _policy(self, digest: str) -> PolicyEngine:
        if self._current is not None and self._current.bundle_digest == digest:
            return self._current.policy
        project = self._verified(digest)
        specs = {name: agent.spec for name, agent in project.agents.items()}
        return PolicyEngine.load(project.policies, project.actions, project.tool, project.directory, specs)
