"""Writes that are done once: what was answered under an `Idempotency-Key` is answered again.

The key's row commits in the same transaction as what was done, so that a crash leaves both or neither. A second
request with the same key waits for the first one. What was refused has changed nothing and is not kept: the same
request is judged again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from starlette.responses import Response

from remit.bootstrap import Services
from remit.domain import canonical
from remit.governance.desk import Decider
from remit.storage import api_answers
from remit.storage.sessions import Db
from remit.surfaces.api.problems import KeyReused
from remit.surfaces.api.replies import sent, text_of
from remit.surfaces.http.guard import LoginNeeded, entered, services

VIA = "api"
"""The surface, as decisions name it."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Somebody's one write."""

    who: Decider
    services: Services
    key: str | None
    digest: str

    def do(self, work: Callable[[Db], Any], status: int = 200) -> Response:
        """Do it in one transaction with its key, and answer what `work` returns; or answer as before."""
        with self.services.sessions.transaction() as db:
            given = api_answers.claim(db, self.who.person, self.key, self.digest) if self.key is not None else None
            if given is None:
                body = text_of(work(db))
                if self.key is not None:
                    api_answers.keep(db, self.who.person, self.key, status, body)
                given = api_answers.Given(self.digest, status, body)
        if given.digest != self.digest:
            raise KeyReused(f"the key {self.key!r} was used for another request")
        return sent(given.body, given.status)


def writer(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[!-~]+$",
            description="Sent again with the same request within 24 hours, it is answered the same and done once.",
        ),
    ] = None,
) -> Writer:
    """Who writes, and under which key. What they may is judged by the endpoint's permission."""
    found = entered(request)
    if found is None:
        raise LoginNeeded("you are not logged in")
    digest = canonical.digest([request.method, request.url.path, request.state.parsed])
    who = Decider(found.viewer.person, simulated=found.viewer.simulated).over(VIA)
    return Writer(who, services(request), key, digest)


Once = Annotated[Writer, Depends(writer)]
