"""What every verb of sessions stands on: transactions, what is deployed, and asking for runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Self

from remit.domain.agents import AgentVersion
from remit.errors import NotEntitled, NotFound
from remit.governance.deployments import Deployments
from remit.governance.state import Governance
from remit.storage import runs
from remit.storage.database import connect
from remit.storage.sessions import Db

Enqueue = Callable[[Db, Sequence[tuple[str, str, int]]], None]
"""Asks for runs in the given transaction, each by a turn's id, its session's, and the run's number."""


class Verbs:
    """The ground of all verbs."""

    def __init__(self, url: str, deployments: Deployments, enqueue: Enqueue) -> None:
        self._url = url
        self._deployments = deployments
        self._enqueue = enqueue
        self._held: Db | None = None

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """A transaction on the database; commits at the end."""
        if self._held is not None:
            yield self._held
            return
        with connect(self._url) as db:
            yield db

    def within(self, db: Db) -> Self:
        """The same verbs in a transaction of the caller's, who commits what they do together with something else."""
        held = copy(self)
        held._held = db  # noqa: SLF001 - a copy of this one
        return held

    def resume_turn(self, db: Db, turn_id: str) -> None:
        """Enqueue the next run of a turn in the caller's transaction; nothing if the turn has ended.

        An external turn is left to its owner, who comes back when it likes.
        """
        asked = runs.ask_for_run(db, turn_id)
        if asked is not None:
            session_id, run = asked
            self._enqueue(db, [(turn_id, session_id, run)])


def deployed(governance: Governance, name: str) -> AgentVersion:
    """The agent as it is deployed now. Raises NotFound or, if it is suspended, NotEntitled."""
    version = governance.agent(name)
    if version is None:
        known = ", ".join(sorted(governance.project.agents)) or "none"
        raise NotFound(f"no agent {name!r} is deployed", advice=f"Deployed agents: {known}.")
    if name in governance.suspended:
        raise NotEntitled(f"agent {name} is suspended", advice=f"`remit agents resume {name}` takes it back.")
    return version


def kind_of(version: AgentVersion) -> str:
    """The kind of a turn of this agent."""
    return "external" if version.spec.external else "agent"
