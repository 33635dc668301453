"""The dispatcher: tells people on every surface that is turned on what they are asked, and what came of it.

It writes down what is to be told before it is sent, sends outside any transaction, and writes down where it stands.
So an outage of a surface only delays: nothing is lost, and what nobody needs any more is not sent. A message may be
sent twice if a process dies between sending and writing that down; a surface that can tell, tells by the delivery's id.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, cast

from remit.domain.directory import Directory, Person, PersonStatus
from remit.domain.inbox import InboxItem, ItemStatus
from remit.domain.project import RemitToml
from remit.errors import DatabaseUnavailable, RemitError
from remit.governance.deployments import Deployments
from remit.runtime.sessions import Sessions
from remit.storage import actions, deliveries, inbox
from remit.storage.sessions import Db, get_payload

log = logging.getLogger(__name__)

Kind = Literal["item", "notice", "message", "turn"]

_LOOK = 0.5  # seconds between two looks for something to tell
_THOROUGH = 60.0  # seconds between two looks for what came up while nobody looked
_BATCH = 8
_AT_ONCE = 4
_PATIENCE = 30.0  # seconds for one message
_HOLD = timedelta(minutes=2)
"""How long a process has a delivery for itself: longer than a batch can take."""
_LONGEST = 300.0  # seconds between two attempts, at most
_CHANNEL = re.compile(r"#?[^\s#,<>|&@:/]{1,80}")


class RetryLater(RemitError):
    """The surface cannot take a message now: it is away, or asks for patience. Nothing is lost by waiting."""

    code = "surface_unavailable"
    http_status = 503
    advice = "Nothing needs to be done: it is sent once the surface answers again."

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after
        """Seconds that the surface asked for; None: it said nothing."""


class Undeliverable(RemitError):
    """A message can never arrive there: there is no such address, or the surface refuses it for good."""

    code = "undeliverable"
    http_status = 422
    advice = "Correct the person's address in directory.yaml, or the surface's settings."


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to send: to a person, to a channel, or into the conversation that a session is."""

    id: str
    """Made of what is told to whom: the same message always has the same id."""
    surface: str
    kind: Kind
    """`item`: something is asked; `notice`: for information; `message`: from an agent; `turn`: an agent's output."""
    attempts: int
    """How often sending was begun, this time included; more than 1: it may have arrived before."""
    person: Person | None
    channel: str | None
    thread: str | None
    """Ref of the conversation, as the surface gave it to `deliveries.bind`."""
    session_id: str | None
    agent: str
    """Who asks or says it; empty where no agent does."""
    title: str
    text: str
    """For every kind but `item`: what is said, as plain text from outside."""
    created_at: datetime
    item: InboxItem | None = None
    """What is asked, as it stands now."""
    action: dict[str, Any] | None = None
    """The action that the item is about, with `args`, or None."""


class Channel(Protocol):
    """A surface that can tell people something."""

    @property
    def surface(self) -> str:
        """Its name: `slack`, `mail`."""
        ...

    @property
    def converses(self) -> bool:
        """True if it has channels, and conversations that are sessions."""
        ...

    @property
    def fallback(self) -> str | None:
        """The channel for what nobody in particular is asked; None: there is none."""
        ...

    def covers(self, person: Person | None, channel: str | None) -> bool:
        """True if this person, or this channel, can be reached here."""
        ...

    async def send(self, delivery: Delivery) -> Mapping[str, Any]:
        """Send it and return where it stands. Raises RetryLater or Undeliverable."""
        ...

    async def update(self, delivery: Delivery, ref: Mapping[str, Any], item: InboxItem) -> None:
        """Show a sent message's item as it stands now, or its outcome. Raises RetryLater or Undeliverable."""
        ...


def reach(settings: RemitToml, person: Person | None, channel: str | None) -> tuple[str, ...]:
    """The surfaces that are turned on and can reach this person, or this channel."""
    found = []
    if settings.slack is not None:
        here = person is not None and person.slack is not None and person.slack.startswith(f"{settings.slack.team}/")
        if here or (person is None and channel is not None and is_channel(channel)):
            found.append("slack")
    if settings.mail is not None and person is not None and person.email is not None:
        found.append("mail")
    return tuple(found)


def is_channel(text: str) -> bool:
    """True for `#name`, `name`, and for a channel's id."""
    return _CHANNEL.fullmatch(text) is not None


def spoken(output: Any) -> str:
    """What a turn's output says to people: its text if it is or has one, else the JSON."""
    if isinstance(output, Mapping):
        for name in ("text", "message", "answer"):
            if isinstance(output.get(name), str):
                return str(output[name])
    if isinstance(output, str):
        return output
    return "Done." if output is None else json.dumps(output, ensure_ascii=False, indent=2, default=str)


class Dispatcher:
    """Sends what is due on every surface. Several processes may do so at once; each message is one's."""

    def __init__(
        self,
        sessions: Sessions,
        deployments: Deployments,
        channels: Sequence[Channel],
        *,
        hold: timedelta = _HOLD,
        look: float = _LOOK,
    ) -> None:
        self._sessions = sessions
        self._deployments = deployments
        self._channels = tuple(channels)
        self._hold = hold
        self._look = look
        self._failures: dict[str, int] = {}
        self._thorough: dict[str, float] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until told to stop. Surfaces do not wait for each other."""
        await asyncio.gather(*(self._serve(channel, stopping) for channel in self._channels))

    async def step(self, channel: Channel) -> tuple[int, float]:
        """Tell what is due on one surface. Returns how much was tried, and for how many seconds to leave it alone."""
        made = await asyncio.to_thread(self._make, channel)
        tried, wait = await self._batch(channel, made, self._send)
        if not wait:
            outdated = await asyncio.to_thread(self._claim_outdated, channel)
            more, wait = await self._batch(channel, outdated, self._update)
            tried += more
        return tried, wait

    async def _serve(self, channel: Channel, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            tried, wait = 0, 0.0
            try:
                tried, wait = await self.step(channel)
            except RemitError as error:  # no database, or nothing deployed
                log.warning("%s: %s", channel.surface, error.message)
                wait = 1.0
            except Exception:
                log.exception("telling people by %s failed; it is tried again", channel.surface)
                wait = 1.0
            pause = wait or (0.0 if tried else self._look)
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue

    # -- making and claiming -------------------------------------------------------------------------------------

    def _make(self, channel: Channel) -> list[dict[str, Any]]:
        directory = self._directory()
        people = [p.id for p in directory.people if _here(p) and channel.covers(p, None)]
        thorough = time.monotonic() >= self._thorough.get(channel.surface, 0)
        with self._sessions.transaction() as db:
            deliveries.make_due(
                db,
                channel.surface,
                people,
                channels=channel.converses,
                fallback=channel.fallback,
                lately=not thorough,
            )
        if thorough:
            self._thorough[channel.surface] = time.monotonic() + _THOROUGH
        with self._sessions.transaction() as db:
            return deliveries.claim(db, channel.surface, limit=_BATCH, hold=self._hold)

    def _claim_outdated(self, channel: Channel) -> list[dict[str, Any]]:
        with self._sessions.transaction() as db:
            return deliveries.claim_outdated(db, channel.surface, limit=_BATCH, hold=self._hold)

    def _directory(self) -> Directory:
        return self._deployments.load().project.directory

    async def _batch(self, channel: Channel, rows: list[dict[str, Any]], do: Any) -> tuple[int, float]:
        """Try some deliveries, a few at a time. Once the surface asks for patience, the rest is left for later."""
        wait = 0.0
        left = list(rows)

        async def one_after_another() -> None:
            nonlocal wait
            while left and not wait:
                row = left.pop(0)
                try:
                    async with asyncio.timeout(_PATIENCE):
                        await do(channel, row)
                    self._failures[channel.surface] = 0
                except (RetryLater, TimeoutError) as error:
                    wait = max(wait, await self._put_off(channel, row, error))
                except DatabaseUnavailable:
                    raise
                except Exception as error:
                    log.exception("delivery %s failed; it is tried again", row["id"])
                    wait = max(wait, await self._put_off(channel, row, error))

        await asyncio.gather(*(one_after_another() for _ in range(_AT_ONCE)))
        for row in left:
            await asyncio.to_thread(self._in_transaction, deliveries.unclaim, row["id"], timedelta(seconds=wait))
        return len(rows) - len(left), wait

    async def _put_off(self, channel: Channel, row: dict[str, Any], error: Exception) -> float:
        """Write down that it is tried again. Returns how long the surface is left alone, in seconds."""
        failures = self._failures[channel.surface] = self._failures.get(channel.surface, 0) + 1
        asked = error.after if isinstance(error, RetryLater) else None
        own = min(2.0 ** min(row["attempts"], 9), _LONGEST)
        # What a surface asks for is honoured, within reason: a day's silence would be a defect of the other side.
        wait = min(asked, 3600.0) if asked is not None else own
        why = error.message if isinstance(error, RemitError) else f"{type(error).__name__}: no answer"
        await asyncio.to_thread(self._in_transaction, deliveries.later, row["id"], timedelta(seconds=wait), why)
        return wait if asked is not None else min(2.0 ** (min(failures, 7) - 1), 60.0)

    def _in_transaction(self, do: Any, *args: Any) -> None:
        with self._sessions.transaction() as db:
            do(db, *args)

    # -- sending and showing anew --------------------------------------------------------------------------------

    async def _send(self, channel: Channel, row: dict[str, Any]) -> None:
        delivery, stands = await asyncio.to_thread(self._load, row)
        why = _needless(delivery) or _unreachable(channel, delivery)
        if why is None:
            try:
                ref = await channel.send(delivery)
            except Undeliverable as error:
                why = error.message
            else:
                await asyncio.to_thread(self._sent, row, ref, stands)
                return
        log.warning("a message of kind %s was not sent by %s: %s", delivery.kind, channel.surface, why)
        await asyncio.to_thread(self._in_transaction, deliveries.dropped, row, why)

    def _sent(self, row: dict[str, Any], ref: Mapping[str, Any], stands: str) -> None:
        with self._sessions.transaction() as db:
            deliveries.sent(db, row, ref, shown=stands)

    async def _update(self, channel: Channel, row: dict[str, Any]) -> None:
        delivery, stands = await asyncio.to_thread(self._load, row)
        assert delivery.item is not None, "only messages about items are shown anew"
        final, error = delivery.item.status is not ItemStatus.OPEN, ""
        try:
            await channel.update(delivery, row["ref"], delivery.item)
        except Undeliverable as gone:
            final, error = True, gone.message
        await asyncio.to_thread(self._shown, row["id"], stands, final, error)

    def _shown(self, delivery: str, stands: str, final: bool, error: str) -> None:
        with self._sessions.transaction() as db:
            deliveries.shown(db, delivery, stands, final=final, error=error)

    def _load(self, row: dict[str, Any]) -> tuple[Delivery, str]:
        directory = self._directory()
        with self._sessions.transaction() as db:
            item = inbox.get(db, row["item_id"]) if row["kind"] == "item" else None
            action = actions.get(db, item.action_id) if item is not None and item.action_id is not None else None
            agent, title, text = _words(db, row, action)
            stands = deliveries.stands(db, item.id) if item is not None else ""
        delivery = Delivery(
            id=row["id"],
            surface=row["surface"],
            kind=cast("Kind", row["kind"]),
            attempts=row["attempts"],
            person=directory.person(row["person"]) if row["person"] is not None else None,
            channel=row["channel"],
            thread=row["thread"],
            session_id=row["session_id"],
            agent=agent,
            title=title,
            text=text,
            created_at=row["created_at"],
            item=item,
            action=action,
        )
        return delivery, stands


def _words(db: Db, row: dict[str, Any], action: dict[str, Any] | None) -> tuple[str, str, str]:
    """Who says it, its title and its text."""
    match row["kind"]:
        case "notice":
            told = deliveries.notice(db, row["notice_id"])
            return ("", told["kind"], told["text"]) if told is not None else ("", "", "")
        case "message":
            said = get_payload(db, row["body"]) or {}
            agent = actions.get(db, row["action_id"])["agent"]
            return agent, str(said.get("title", "")), str(said.get("text", "(its contents were erased)"))
        case "turn":
            turn = deliveries.turn(db, row["turn_id"])
            assert turn is not None, "turns are never deleted"
            if turn["status"] == "finished":
                return turn["agent"], "", spoken(get_payload(db, turn["output"]) if turn["output"] else None)
            return turn["agent"], "", f"This did not work: {turn['error'] or turn['status']}"
    return (action["agent"] if action is not None else ""), "", ""


def _here(person: Person) -> bool:
    return person.status is PersonStatus.ACTIVE


def _needless(delivery: Delivery) -> str | None:
    item = delivery.item
    if item is None:
        return None
    if item.status is not ItemStatus.OPEN:
        return f"it was {item.status} before it could be sent"
    if delivery.person is not None and delivery.person.id not in item.assignees:
        return "somebody else is asked by now"
    return None


def _unreachable(channel: Channel, delivery: Delivery) -> str | None:
    if delivery.thread is not None:
        return None
    if delivery.channel is None and (delivery.person is None or not _here(delivery.person)):
        return "the person is not in the directory any more"
    if not channel.covers(delivery.person, delivery.channel):
        return f"{delivery.person.id if delivery.person else delivery.channel} cannot be reached by {channel.surface}"
    return None
