"""Who acts in Slack: a member of the one team, by ids alone, whom the directory names and who is still here.

Names, addresses and profiles say nothing: their owners can change them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from remit.domain.directory import Directory, Person, PersonStatus
from remit.errors import RemitError
from remit.runtime.deliveries import RetryLater, Undeliverable
from remit.surfaces.slack.api import Api

_FRESH = 300.0  # seconds for which what Slack says about a member counts


class Stranger(RemitError):
    """Whoever acts in Slack is nobody who may: unknown, a guest, of another team, or gone."""

    code = "slack_stranger"
    http_status = 403
    advice = "Ask whoever keeps directory.yaml to enter your Slack team and member id."


@dataclass(frozen=True, slots=True)
class Member:
    """A user of Slack as a request names them."""

    team: str
    user: str


class Members:
    """Looks up who a member is."""

    def __init__(self, team: str, api: Api, directory: Callable[[], Directory]) -> None:
        self._team = team
        self._api = api
        self._directory = directory
        self._checked: dict[str, tuple[float, str | None]] = {}

    def person(self, member: Member) -> Person:
        """The directory's person. Raises Stranger, which says why and whom to ask; also if Slack cannot be asked."""
        if member.team != self._team:
            raise Stranger("You belong to another Slack team; only members of this one may act here.")
        wanted = f"{member.team}/{member.user}"
        directory = self._directory()
        found = next((p for p in directory.people if p.slack == wanted), None)
        if found is None:
            raise Stranger(f"The directory names nobody with your Slack id, {wanted}.")
        if found.status is not PersonStatus.ACTIVE:
            raise Stranger(f"{found.id} has left, by the directory.")
        why = self._refused(member.user)
        if why is not None:
            raise Stranger(why)
        return found

    def known(self, user: str) -> Person | None:
        """The person whom a mention means, to show it by name."""
        wanted = f"{self._team}/{user}"
        return next((p for p in self._directory().people if p.slack == wanted), None)

    def _refused(self, user: str) -> str | None:
        """Why Slack's own account of a member rules them out; None: it does not."""
        at, why = self._checked.get(user, (-_FRESH, None))
        if time.monotonic() - at < _FRESH:
            return why
        try:
            account = self._api.call("users.info", {"user": user}).get("user", {})
        except (RetryLater, Undeliverable) as error:
            raise Stranger(
                "It cannot be checked just now who you are. Nothing was done.",
                advice=f"Try again in a moment, or use the command line. ({error.message})",
            ) from None
        why = None
        if account.get("team_id", self._team) != self._team or account.get("is_stranger"):
            why = "You belong to another Slack team; only members of this one may act here."
        elif account.get("is_restricted") or account.get("is_ultra_restricted"):
            why = "Guests may not act here."
        elif account.get("deleted") or account.get("is_bot"):
            why = "Only people with an active account may act here."
        self._checked[user] = (time.monotonic(), why)
        return why
