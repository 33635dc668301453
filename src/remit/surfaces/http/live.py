"""Open pages stay fresh: one look at the record for all of them, and to each a word about what concerns it.

A page is told that something has changed and fetches it anew with its own rights; what has changed is never sent. The
position in the record is in the page's address of the stream, so that nothing is missed between drawing a page and
listening, or while the server was away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from remit.bootstrap import Services
from remit.domain.access import Permission, Viewer
from remit.errors import RemitError
from remit.storage import cockpit, facets, stream
from remit.storage.sessions import Db

log = logging.getLogger(__name__)

_PAUSE = 0.4  # seconds between two looks
_ALIVE = 20.0  # seconds after which a silent stream says that it is there
_REST = {"sessions": 2.0, "record": 2.0, "counted": 5.0, "tallied": 5.0}
"""What changes all the time where much goes on, and how many seconds are between two words of it to each page."""
_COUNTS = ("counted", "tallied")
"""What is told when there are new counts, in the order of `stream.counts`."""
_INBOX = ("approval", "item", "question", "idea", "action:waiting", "comment")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has happened, as far as a page may know of it."""

    topics: frozenset[str]
    workspace: str | None
    """The session's; None: it concerns no session, and is told to everybody, or if it is `whole` to who sees all."""
    people: frozenset[str] = frozenset()
    """Who is asked for something in the session, and is told of that whatever else they see."""
    whole: bool = False


@dataclass(eq=False)
class _Listener:
    viewer: Viewer
    waiting: asyncio.Queue[list[Change]] = field(default_factory=lambda: asyncio.Queue(1_000))


class Live:
    """Looks at the record while somebody listens, and tells."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._listeners: set[_Listener] = set()
        self._position = ""
        """Where the record was looked at last; kept when a look fails, so that nothing is left out."""
        self._counts = (0, 0)
        """How far the counts of the record were at that look."""
        self._highest = 0
        self._told: set[int] = set()
        """Numbers of records that were told as soon as they were visible, and come once more in order."""
        self._awaited = asyncio.Event()
        self._looking = asyncio.Event()
        """Set while the loop has a position: what comes behind it reaches every listener."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Look, until told to stop. Where nobody listens, nothing is asked."""
        while not stopping.is_set():
            if not self._listeners:
                self._position = ""
                self._awaited.clear()
                self._looking.clear()
                await _either(self._awaited, stopping)
                continue
            try:
                if not self._position:
                    self._position, self._highest, self._counts = await asyncio.to_thread(self._now)
                    self._told.clear()
                self._looking.set()
                changes = await asyncio.to_thread(self._look)
            except RemitError as error:
                log.warning("the record cannot be looked at: %s", error.message)
                changes = []
            if changes:
                for listener in self._listeners:
                    # A full queue is not read; whoever begins to read it again fetches everything.
                    with contextlib.suppress(asyncio.QueueFull):
                        listener.waiting.put_nowait(changes)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _PAUSE)

    async def listen(self, viewer: Viewer, after: str) -> AsyncIterator[bytes]:
        """Server-sent events for one page. Raises InvalidInput if `after` is no position."""
        listener = _Listener(viewer)
        self._listeners.add(listener)
        self._awaited.set()
        try:
            await self._looking.wait()  # only then: what happens between this look and the loop's first would be lost
            missed = await asyncio.to_thread(self._missed, after, viewer)
            if missed:
                yield _events(missed, after)
            yield b": here\n\n"
            held, free_at, position = set[str](), dict[str, float](), after
            while True:
                now = time.monotonic()
                due = {topic for topic in held if now >= free_at.get(topic, 0)}
                if due:
                    held -= due
                    free_at |= {topic: now + _REST[topic] for topic in due}
                    yield _events(due, None if held else position)
                pause = min((free_at[topic] - now for topic in held), default=_ALIVE)
                try:
                    changes = await asyncio.wait_for(listener.waiting.get(), pause)
                except TimeoutError:
                    if not held:
                        yield b": here\n\n"
                    continue
                position, topics = self._mark, _topics(changes, viewer)
                held |= topics & _REST.keys()
                if topics - _REST.keys():
                    yield _events(topics - _REST.keys(), None if held else position)
        finally:
            self._listeners.discard(listener)

    @property
    def _mark(self) -> str:
        return "~".join((self._position, *map(str, self._counts)))

    def _now(self) -> tuple[str, int, tuple[int, int]]:
        with self._services.sessions.transaction() as db:
            return stream.now(db), stream.highest(db), stream.counts(db)

    def _look(self) -> list[Change]:
        """What is new: first what is visible already, then, in order, what was committed behind it."""
        with self._services.sessions.transaction() as db:
            found = stream.early(db, self._highest)
            settled, position = stream.after(db, self._position)
            self._told |= {row["id"] for row in found}
            late = [row for row in settled if row["id"] not in self._told]
            counts = stream.counts(db)
            changes = [*_changes(db, [*found, *late]), *_counted(db, self._counts, counts)]
        self._told -= {row["id"] for row in settled}
        self._highest = max([self._highest, *(row["id"] for row in found)])
        self._position, self._counts = position, counts
        return changes

    def _missed(self, mark: str, viewer: Viewer) -> set[str]:
        """What has changed for one page since it was drawn, or since it listened last."""
        position, counts = stream.marked(mark)
        with self._services.sessions.transaction() as db:
            topics = _topics(_changes(db, stream.after(db, position, settled=False)[0]), viewer)
            for topic, first, until in zip(_COUNTS, counts or (), stream.counts(db), strict=False):
                if facets.any_between(db, viewer.workspaces(), first, until):
                    topics.add(topic)
            return topics


def _changes(db: Db, found: list[dict[str, Any]]) -> list[Change]:
    sessions = cockpit.concerned(db, [row["session_id"] for row in found if row["session_id"] is not None])
    return [_change(row, sessions) for row in found]


def _counted(db: Db, before: tuple[int, int], now: tuple[int, int]) -> list[Change]:
    """What was counted since, by workspace; what belongs to none is for those who see all."""
    return [
        Change(frozenset({topic}), workspace, whole=workspace is None)
        for topic, first, until in zip(_COUNTS, before, now, strict=True)
        if until > first
        for workspace in facets.workspaces_between(db, first, until)
    ]


def _change(row: dict[str, Any], sessions: dict[str, cockpit.Concerned]) -> Change:
    session, tag = row["session_id"], row["tag"]
    topics = {"record"}
    if session is not None:
        topics |= {"sessions", f"session-{session}"}
    if any(word in tag for word in _INBOX):
        topics.add("inbox")
    for name in ("stop", "trigger", "agent", "bundle"):
        if f":{name}:" in tag:
            topics.add(f"{name}s")
    item = row["body"].get("item") or row["body"].get("item_id")
    if isinstance(item, str):
        topics |= {"inbox", f"item-{item}"}
    concerned = sessions.get(session or "", cockpit.Concerned(None, frozenset()))
    return Change(frozenset(topics), concerned.workspace, concerned.people)


def _topics(changes: list[Change], viewer: Viewer) -> set[str]:
    """What has changed, as far as the viewer may know."""
    return set().union(*(_open_to(viewer, change) for change in changes))


def _events(topics: set[str], position: str | None) -> bytes:
    """One event for each topic, and the position behind them, which the browser sends when it comes back."""
    lines = [f"event: {topic}\ndata: -\n\n" for topic in sorted(topics)]
    return ("".join(lines) + (f"id: {position}\n\n" if position is not None else ": \n\n")).encode()


def _open_to(viewer: Viewer, change: Change) -> frozenset[str]:
    """What of a change somebody may know: all, or only that they are asked for something."""
    if change.whole:
        return change.topics if viewer.workspaces() is None else frozenset()
    if change.workspace is None or viewer.may(Permission.SEE, change.workspace):
        return change.topics
    asked = viewer.person in change.people
    return frozenset(t for t in change.topics if asked and (t == "inbox" or t.startswith("item-")))


async def _either(first: asyncio.Event, second: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (first, second)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        task.cancel()
