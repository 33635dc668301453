"""Who comes in: one-time links, logins, bearer tokens, and what is open to whoever they belong to.

A token is 256 random bits and is kept as its SHA-256 alone, so the database holds nothing that could be used. What is
open to somebody is read from the directory at every request: who has left it, or lost a workspace, is out at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from remit.domain.access import Permission, Viewer, viewer_of
from remit.errors import NotEntitled
from remit.governance.deployments import Deployments
from remit.governance.oidc import Begun, Identity
from remit.storage import logins, tokens
from remit.storage.database import connect
from remit.storage.sessions import Db

LINK_LIFETIME = timedelta(minutes=15)
"""How long a one-time link works."""
ATTEMPT_LIFETIME = timedelta(minutes=10)
"""How long somebody may take at the identity provider."""
IDLE = timedelta(hours=12)
"""A login that nobody used for so long has ended."""
LIFETIME = timedelta(days=7)
"""The longest that anybody stays logged in."""


@dataclass(frozen=True, slots=True)
class Entered:
    """Somebody who is in."""

    viewer: Viewer
    login: str | None
    """The login's id; None with a bearer token."""


class Logins:
    """The verbs of coming in and going out."""

    def __init__(self, url: str, deployments: Deployments) -> None:
        self._url = url
        self._deployments = deployments

    @contextmanager
    def _transaction(self) -> Iterator[Db]:
        with connect(self._url) as db:
            yield db

    def offer(self, person: str | None, by: str) -> str:
        """Make a one-time link for a person; None: for whoever opens it, who then says who they are.

        Returns its token. Raises NotEntitled if the person is not active in the directory.
        """
        if person is not None:
            self._viewer(person, simulated=False)
        token = _new_token()
        with self._transaction() as db:
            logins.put_link(db, digest_of(token), person, by, LINK_LIFETIME)
        return token

    def offered(self, token: str) -> logins.LoginLink | None:
        """The one-time link of this token, if it still works."""
        with self._transaction() as db:
            return logins.link(db, digest_of(token))

    def redeem(self, token: str, person: str | None, browser: str) -> str:
        """Use a one-time link up, as its person or, where it names nobody, as the one given.

        Returns the token of the new login. Raises NotEntitled.
        """
        with self._transaction() as db:
            found = logins.link(db, digest_of(token))
            if found is None:
                refusal = "link_invalid"
            elif (who := found.person or person) is None or not self._is_active(who):
                refusal = "person_unknown"
            else:
                logins.use_link(db, found.digest)
                return self._begin(db, who, via="link", simulated=found.person is None, browser=browser)
            logins.refused(db, refusal, person=person)
        raise NotEntitled(*_REFUSALS[refusal])

    def enter(self, person: str, browser: str) -> str:
        """Log in a person whom the company's identity provider has named. Returns the token of the new login.

        Raises NotEntitled if the person is not active in the directory.
        """
        self._viewer(person, simulated=False)
        with self._transaction() as db:
            return self._begin(db, person, via="oidc", simulated=False, browser=browser)

    def begin_at_provider(self, begun: Begun, after: str) -> None:
        """Keep what a login at the identity provider needs when it comes back; `after` is the page to go to then."""
        attempt = logins.Attempt(begun.nonce, begun.verifier, after)
        with self._transaction() as db:
            logins.put_attempt(db, digest_of(begun.state), attempt, ATTEMPT_LIFETIME)

    def back_from_provider(self, state: str) -> logins.Attempt | None:
        """What was kept for this state, once; None if there is none, or if it is too old."""
        with self._transaction() as db:
            return logins.take_attempt(db, digest_of(state))

    def enter_as(self, identity: Identity, claim: str, browser: str) -> str:
        """Log in whom the identity provider has named. Returns the token of the new login.

        `claim` says what counts: `email`, if it is verified, or `sub`. Raises NotEntitled, and records it.
        """
        people = [p for p in self._deployments.load().project.directory.people if self._is_active(p.id)]
        if claim == "sub":
            found = [p.id for p in people if p.subject == identity.subject]
        else:
            wanted = (identity.email or "").casefold()
            found = [p.id for p in people if wanted and (p.email or "").casefold() == wanted]
        if claim == "email" and not identity.email_verified:
            self.turn_away("email_unverified", subject=identity.subject)
            raise NotEntitled(*_REFUSALS["email_unverified"])
        if len(found) != 1:
            self.turn_away("person_unknown", subject=identity.subject)
            raise NotEntitled(
                "the directory has nobody active by this name",
                advice="Ask whoever deploys to write you into directory.yaml as the identity provider knows you.",
            )
        return self.enter(found[0], browser)

    def turn_away(self, why: str, **more: str) -> None:
        """Record that somebody was not let in; `why` is a code."""
        with self._transaction() as db:
            logins.refused(db, why, **more)

    def by_cookie(self, token: str) -> Entered | None:
        """Who a browser's cookie belongs to, if they are still in."""
        with self._transaction() as db:
            found = logins.find(db, digest_of(token), IDLE)
        if found is None or not self._is_active(found.person):
            return None
        return Entered(self._viewer(found.person, simulated=found.simulated), found.id)

    def by_token(self, token: str) -> Entered | None:
        """Who a bearer token belongs to; None if it is no valid token of an active person."""
        with self._transaction() as db:
            kind, _, person = (tokens.subject(db, digest_of(token)) or "").partition(":")
        if kind != "person" or not self._is_active(person):
            return None
        return Entered(self._viewer(person, simulated=False), None)

    def leave(self, login: str, by: str) -> None:
        """End a login at once. Raises NotFound."""
        with self._transaction() as db:
            logins.end(db, login, by)

    def refuse(self, viewer: Viewer, permission: Permission, what: str) -> None:
        """Record that somebody asked for what is not open to them."""
        with self._transaction() as db:
            logins.refused(db, "not_permitted", person=viewer.person, permission=permission.value, what=what)

    def _begin(self, db: Db, person: str, *, via: str, simulated: bool, browser: str) -> str:
        token = _new_token()
        logins.begin(db, digest_of(token), person, via=via, simulated=simulated, browser=browser, lifetime=LIFETIME)
        return token

    def _is_active(self, person: str) -> bool:
        return self._deployments.load().project.directory.is_active(person)

    def _viewer(self, person: str, *, simulated: bool) -> Viewer:
        directory = self._deployments.load().project.directory
        found = directory.person(person)
        if found is None or not directory.is_active(person):
            raise NotEntitled(*_REFUSALS["person_unknown"])
        return viewer_of(directory, found, simulated=simulated)


_REFUSALS = {
    "link_invalid": ("this link does not work any more",),
    "email_unverified": ("the identity provider has not verified your address",),
    "person_unknown": ("this person is not active in the directory",),
}


def digest_of(token: str) -> str:
    """SHA-256 of a token, in hexadecimal: all that is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _new_token() -> str:
    return secrets.token_urlsafe(32)
