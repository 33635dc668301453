"""Talking to agents: a mention or a direct message begins a session, and its thread is that session from then on.

A message is taken once, whatever Slack sends again: its place in the channel is its key, written in the transaction in
which the session gets it.
"""

from __future__ import annotations

import html
import logging
import re
from dataclasses import dataclass
from typing import Any

from remit.bootstrap import Services
from remit.domain.directory import Person
from remit.domain.project import SlackSection
from remit.errors import DatabaseUnavailable, InvalidInput, NotEntitled, RemitError
from remit.runtime import messages
from remit.runtime.sessions import Start
from remit.storage import deliveries, events
from remit.storage.sessions import Db, NewSession
from remit.surfaces.slack import text
from remit.surfaces.slack.clicks import Clicks
from remit.surfaces.slack.members import Member, Members, Stranger

log = logging.getLogger(__name__)

_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_CHANNEL = re.compile(r"<#([CG][A-Z0-9]+)(?:\|([^>]*))?>")
_SPECIAL = re.compile(r"<!([a-z]+)(?:[^>]*)>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^>|]+)(?:\|([^>]*))?>")
_SUBTYPES = frozenset({None, "file_share", "thread_broadcast"})
"""Of messages that people write; the others tell of edits, joins and the like."""
SURFACE = "slack"


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that somebody wrote."""

    member: Member
    channel: str
    ts: str
    thread: str
    """Time stamp of the thread's first message: its own, where it begins one."""
    text: str
    addressed: bool
    """It mentions the app, or is a direct message to it."""

    @property
    def ref(self) -> str:
        """The conversation, as `remit.threads` names it."""
        return f"{self.member.team}/{self.channel}/{self.thread}"

    @property
    def key(self) -> str:
        """The same for the same message, whichever event tells of it."""
        return f"message:{SURFACE}:{self.member.team}/{self.channel}/{self.ts}"


class Talk:
    """Takes messages."""

    def __init__(self, services: Services, settings: SlackSection, members: Members, clicks: Clicks) -> None:
        self._services = services
        self._settings = settings
        self._members = members
        self._clicks = clicks

    def take(self, body: dict[str, Any]) -> None:
        """Take an event of Slack's: a message or a mention. Raises DatabaseUnavailable: Slack sends it again then."""
        heard = heard_in(body)
        if heard is None or body.get("team_id") != self._settings.team:
            return
        try:
            self._take(heard)
        except DatabaseUnavailable:
            raise
        except Stranger as error:
            if heard.addressed:
                self._whisper(heard, error)
        except RemitError as error:
            self._whisper(heard, error)

    def _take(self, heard: Heard) -> None:
        with self._services.sessions.transaction() as db:
            session_id = deliveries.session_of(db, SURFACE, heard.ref)
            asked = deliveries.asked_at(db, SURFACE, heard.channel, heard.thread) if session_id is None else None
        if asked is not None:
            self._members.person(heard.member)
            raise InvalidInput(f"what you wrote answers nothing: {asked} is decided by the buttons above")
        if session_id is None and not heard.addressed and not self._listens():
            return
        person = self._members.person(heard.member)
        said = spoken(heard.text, self._members, addressed=heard.addressed)
        # A message that only mentions the app says nothing, as somebody does who wants to see whether it is there.
        if session_id is None and heard.addressed and not said.strip():
            raise InvalidInput("there is nothing to do", advice="Write what you want behind the mention.")
        planned = self._planned(person, said) if session_id is None and heard.addressed else None
        with self._services.sessions.transaction() as db:
            session_id = deliveries.session_of(db, SURFACE, heard.ref)
            agent = planned.agent if planned is not None else None
            workspace = planned.workspace if planned is not None else None
            if not self._new(db, heard, person, said, agent, workspace):
                return
            if session_id is not None:
                deliveries.touch(db, SURFACE, heard.ref)
                self._services.sessions.say(db, session_id, f"person:{person.id}", said)
            elif planned is not None:
                (session_id,) = self._services.sessions.start_planned(db, [planned])
                deliveries.bind(db, SURFACE, heard.ref, session_id)

    def _new(self, db: Db, heard: Heard, person: Person, said: str, agent: str | None, workspace: str | None) -> bool:
        """Write down that there was a message, for triggers that wait for one. False: it was taken before."""
        return events.add(
            db,
            key=heard.key,
            kind="message",
            name=SURFACE,
            value={
                "text": said,
                "person": person.id,
                "channel": heard.channel,
                "thread": heard.thread,
                "ts": heard.ts,
                "addressed": heard.addressed,
            },
            agent=agent,
            workspace=workspace,
            by=f"person:{person.id}",
        )

    def _planned(self, person: Person, said: str) -> NewSession:
        """The session that a message begins. Raises InvalidInput, NotFound or NotEntitled."""
        governance = self._services.deployments.load()
        named = messages.read(said)
        agent = named.to or self._settings.agent
        mine = sorted(n for n, a in governance.project.agents.items() if a.spec.workspace in person.workspaces)
        if agent is None:
            raise InvalidInput(
                "no agent is named", advice=f"Begin with one of: {', '.join(f'@{n}' for n in mine) or 'none is there'}."
            )
        found = governance.agent(agent)
        if found is not None and found.spec.workspace not in person.workspaces:
            raise NotEntitled(
                f"{person.id} is not in the workspace of {agent}", advice=f"Your agents: {', '.join(mine) or 'none'}."
            )
        start = Start(
            agent,
            named.contents,
            f"person:{person.id}",
            trigger=SURFACE,
            title=text.line(said, 120),
        )
        return self._services.sessions.planned(start, governance)

    def _listens(self) -> bool:
        """True if some trigger waits for messages in Slack that address nobody."""
        triggers = self._services.deployments.current().project.triggers.values()
        return any(t.kind == "event" and t.on == "message" and t.name in {"*", SURFACE} for t in triggers)

    def _whisper(self, heard: Heard, error: RemitError) -> None:
        words = f"{error.message}. {error.advice}"
        thread = heard.thread if heard.thread != heard.ts else ""
        self._clicks.whisper(heard.channel, heard.member.user, words, thread=thread)


def heard_in(body: dict[str, Any]) -> Heard | None:
    """The message that an event tells of; None if nobody wrote one."""
    event = body.get("event") or {}
    user, channel, ts = event.get("user"), event.get("channel"), event.get("ts")
    if event.get("bot_id") or event.get("subtype") not in _SUBTYPES or not (user and channel and ts):
        return None
    team = event.get("user_team") or event.get("source_team") or body.get("team_id") or ""
    return Heard(
        Member(str(team), str(user)),
        str(channel),
        str(ts),
        str(event.get("thread_ts") or ts),
        str(event.get("text") or ""),
        event.get("channel_type") == "im" or _mentioned(body, event),
    )


def _mentioned(body: dict[str, Any], event: dict[str, Any]) -> bool:
    """True if the app is mentioned. Slack tells of such a message twice: as a mention, and as a channel's message."""
    own = [a.get("user_id") for a in body.get("authorizations") or () if a.get("is_bot")]
    said = str(event.get("text") or "")
    return event.get("type") == "app_mention" or any(user and f"<@{user}>" in said for user in own)


def spoken(said: str, members: Members, *, addressed: bool) -> str:
    """What somebody wrote, as plain text: without the app's mention in front, and with names for Slack's ids."""
    if addressed:
        said = re.sub(r"^\s*<@[UW][A-Z0-9]+(?:\|[^>]*)?>[\s:,]*", "", said, count=1)
    said = _MENTION.sub(lambda m: f"@{p.id}" if (p := members.known(m[1])) is not None else f"@{m[1]}", said)
    said = _CHANNEL.sub(lambda m: f"#{m[2] or m[1]}", said)
    said = _SPECIAL.sub(lambda m: f"@{m[1]}", said)
    said = _LINK.sub(lambda m: m[1] if m[2] in {None, m[1], m[1].partition(":")[2]} else f"{m[2]} ({m[1]})", said)
    return html.unescape(said)
