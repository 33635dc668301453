"""All connections of one worker process: the only place from which a call leaves for a tool."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from remit.config.secrets import fill_with, references
from remit.domain.connections import (
    Connection,
    HttpConnection,
    LocalConnection,
    StdioConnection,
    ToolDefinition,
    ToolPins,
)
from remit.errors import ConfigurationError, NotFound, ToolFailed
from remit.runtime.connections import plan
from remit.runtime.connections.answers import ToolAnswer, from_reply
from remit.runtime.connections.http import HttpWire
from remit.runtime.connections.link import GREETING_SECONDS, Link
from remit.runtime.connections.pins import ToolState, state_of
from remit.runtime.connections.scrub import Scrubber
from remit.runtime.connections.stdio import StdioWire
from remit.runtime.connections.wire import Attempt, LostError, NotSentError, RefusedError, SessionEndedError, Wire
from remit.runtime.isolation.choice import choose

SecretResolver = Callable[[str], str]
"""Gives the secret that a reference such as `env:NAME` names. May block: it is called in a thread."""

_SMALLEST_FRAME = 2_000_000
_MOST_PERSONAL_LINES = 64


class Connections:
    """Servers of a project, opened at their first call. One object serves one worker process and one event loop.

    `secrets` resolves references to secrets when a server is started. `isolation` is the wall around stdio servers:
    `auto`, `bubblewrap`, `landlock` or `none`. With `pins`, a tool whose live definition is not the pinned one is not
    called; without, nothing is compared. `state_folder` holds servers' own folders and logs; None: the project's
    `.remit/`.
    """

    def __init__(
        self,
        project_folder: Path,
        specs: Mapping[str, Connection],
        secrets: SecretResolver,
        *,
        pins: ToolPins | None = None,
        isolation: str = "auto",
        state_folder: Path | None = None,
    ) -> None:
        self._project = project_folder
        self._state = state_folder
        self._specs = dict(specs)
        self._secrets = secrets
        self._pins = pins
        self._isolation = isolation
        self._links: dict[tuple[str, str | None], Link] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"Connections({sorted(self._specs)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The connections to servers, in order."""
        return tuple(sorted(n for n, spec in self._specs.items() if not isinstance(spec, LocalConnection)))

    async def call(
        self,
        connection: str,
        tool: str,
        arguments: dict[str, Any],
        *,
        meta: dict[str, str] | None,
        timeout: timedelta,  # noqa: ASYNC109 - also covers starting the server, and decides failed or unknown
        deadline: float | None,
        person: str | None = None,
    ) -> ToolAnswer:
        """Call a tool once and say what came of it; raises nothing but cancellation.

        `arguments` are canonical and travel exactly as they are. `meta` becomes MCP's `_meta`. `deadline` is
        `time.monotonic()` seconds, checked directly before the bytes leave: after it nothing is sent. `timeout` runs
        from now, includes starting the server, and after it the outcome is `unknown` if the call had left. The server
        is not told that nobody waits any more: half-stopped work is harder to reconcile than finished work. `person`
        is on whose behalf a connection marked `per_person` is called.
        """
        attempt = Attempt(deadline)
        until = time.monotonic() + timeout.total_seconds()
        try:
            link = self._link(connection, person)
        except NotSentError as error:
            return ToolAnswer("failed", error=str(error), reason=error.reason, sent=False)
        link.busy += 1
        try:
            return await self._attempt(link, connection, tool, arguments, meta, attempt, until)
        except NotSentError as error:
            reason = "clearance_expired" if _past(deadline) and error.reason == "not_connected" else error.reason
            return ToolAnswer("failed", error=_say(link, connection, error), reason=reason, sent=False)
        except RefusedError as error:
            return ToolAnswer("failed", error=_say(link, connection, error), reason="http_error")
        except LostError as error:
            link.timed_out()
            return ToolAnswer("unknown", error=_say(link, connection, error), reason=error.reason)
        except Exception as error:  # noqa: BLE001 - a defect here must not look like a call that never was
            words = f"connection {connection}: {type(error).__name__}"
            status: Literal["unknown", "failed"] = "unknown" if attempt.sent else "failed"
            return ToolAnswer(status, error=words, reason="defect", sent=attempt.sent)
        finally:
            attempt.given_up = True
            link.busy -= 1

    async def get_ready(self, connection: str) -> None:
        """Wait for a server that is being started for the first time, as long as starting may take.

        Done before a call is let through, so that its clearance does not run out meanwhile; a stop of the session is
        noticed after it. Nothing of a person's is touched before the gate has spoken: a server that takes a person's
        credential is started by the call. What keeps a server from starting is said by the call, too.
        """
        if self._per_person(connection):
            return
        with contextlib.suppress(NotSentError):
            link = self._link(connection, None)
            if link.first_start:
                await link.ready(time.monotonic() + GREETING_SECONDS + 5.0)

    async def definitions(self, connection: str, *, person: str | None = None) -> dict[str, ToolDefinition]:
        """What the server offers now, by tool, each with its digest. Raises NotFound or ToolFailed."""
        if connection not in self._specs:
            raise NotFound(f"there is no connection {connection!r}", advice="List them with `remit connections`.")
        try:
            link = self._link(connection, person)
            await link.ready(time.monotonic() + GREETING_SECONDS + 5.0)
        except NotSentError as error:
            raise ToolFailed(
                f"connection {connection}: {error}",
                advice=f"Look into .remit/logs/connections/{connection}.log and at the connection in connections.yaml.",
            ) from None
        return dict(link.live or {})

    def tool_state(self, connection: str, tool: str, *, person: str | None = None) -> ToolState:
        """How a tool stands to its pin as far as is known: a server that was not asked yet counts as unchanged."""
        link = self._links.get((connection, person if self._per_person(connection) else None))
        if link is not None:
            return link.state(tool)
        return state_of(self._pinned(connection).get(tool), None, tool)

    async def warm(self) -> dict[str, str]:
        """Start every server that needs no person, so that no call has to wait for it; what failed, by connection."""
        names = [name for name in self.names if not self._per_person(name)]

        async def start(name: str) -> str | None:
            try:
                await self._link(name, None).ready(time.monotonic() + GREETING_SECONDS + 5.0)
            except NotSentError as error:
                return str(error)
            return None

        problems = await asyncio.gather(*map(start, names))
        return {name: problem for name, problem in zip(names, problems, strict=True) if problem is not None}

    async def close(self) -> None:
        """End every server and every process that it started; calls under way become unknown."""
        self._closed = True
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()), *self._closing, return_exceptions=True)

    async def _attempt(
        self,
        link: Link,
        connection: str,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, str] | None,
        attempt: Attempt,
        until: float,
    ) -> ToolAnswer:
        last_start = until if attempt.deadline is None else min(until, attempt.deadline)
        for again in (True, False):
            if _past(attempt.deadline):
                attempt.release()
            peer = await link.ready(last_start)
            self._check_pin(link, connection, tool)
            try:
                reply = await peer.call(tool, arguments, meta, attempt, max(0.001, until - time.monotonic()))
            except SessionEndedError:
                if not again:
                    raise
                attempt.sent = attempt.given_up = (
                    False  # it was refused unseen: it may go out once more, within the same clearance
                )
                continue
            link.answered()
            return from_reply(reply, self._specs[connection].max_result_bytes, link.scrubber)
        raise AssertionError("unreachable")  # pragma: no cover

    def _check_pin(self, link: Link, connection: str, tool: str) -> None:
        if self._pins is None or (state := link.state(tool)) == "pinned":
            return
        words = {
            "changed": "is not defined as it was when it was pinned; review it, then run `remit connections pin`",
            "missing": "is no longer offered by the server",
            "unpinned": "was never pinned; review it, then run `remit connections pin`",
        }
        raise NotSentError(f"tool_{state}", f"the tool {connection}.{tool} {words[state]}")

    def _pinned(self, connection: str) -> Mapping[str, ToolDefinition]:
        return self._pins.connections.get(connection, {}) if self._pins is not None else {}

    def _per_person(self, connection: str) -> bool:
        spec = self._specs.get(connection)
        return spec is not None and spec.per_person

    def _link(self, connection: str, person: str | None) -> Link:
        if self._closed:
            raise NotSentError("closed", "the connections are closed")
        spec = self._specs.get(connection)
        if spec is None:
            raise NotSentError("unknown_connection", f"there is no connection {connection!r}")
        if isinstance(spec, LocalConnection):
            raise NotSentError(
                "local", f"the tools of {connection} live in the process of their agent, which alone can call them"
            )
        owner = person if spec.per_person else None
        if spec.per_person and owner is None:
            raise NotSentError(
                "person_needed",
                f"connection {connection} is used with a person's own credential, and there is no person",
            )
        link = self._links.get((connection, owner))
        if link is None:
            self._make_room()
            link = Link(connection, partial(self._open, connection, spec, owner), self._pinned(connection))
            self._links[connection, owner] = link
        return link

    def _make_room(self) -> None:
        """Personal servers that nobody uses give way to those that somebody needs."""
        personal = [(link.used, key) for key, link in self._links.items() if key[1] is not None and not link.busy]
        if len(personal) >= _MOST_PERSONAL_LINES:
            link = self._links.pop(min(personal)[1])
            task = asyncio.create_task(link.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _open(
        self, name: str, spec: Connection, person: str | None, changed: Callable[[], None]
    ) -> tuple[Wire, Scrubber]:
        assert not isinstance(spec, LocalConnection), "no link is made to what has no server"
        limit = max(_SMALLEST_FRAME, 4 * spec.max_result_bytes)
        declared = spec.env if isinstance(spec, StdioConnection) else spec.headers
        values, secrets = await asyncio.to_thread(self._resolve, name, declared, person)
        scrubber = Scrubber(secrets)
        if isinstance(spec, HttpConnection):
            return HttpWire(spec.url, values, changed, limit), scrubber
        wall = choose(self._isolation)
        made = plan.make(self._project, name, spec, values, wall=wall, person=person, state=self._state)
        return await StdioWire.start(made, changed, scrubber, limit), scrubber

    def _resolve(self, name: str, declared: Mapping[str, str], person: str | None) -> tuple[dict[str, str], list[str]]:
        """Values with references replaced by secrets, and the secrets alone."""
        values: dict[str, str] = {}
        found: list[str] = []
        for key, value in declared.items():
            own = value.replace("{person}", person) if person is not None and references(value) else value
            values[key], secrets = fill_with(own, self._secrets)
            if "\0" in values[key]:
                raise ConfigurationError(f"the secret for {key} of connection {name} holds a zero byte")
            found += secrets
        return values, found


async def pin_tools(connections: Connections, *, person: str | None = None) -> ToolPins:
    """The pins of everything that every connection offers now. Raises ToolFailed if one cannot be reached.

    `person` lends the credential for connections marked `per_person`.
    """
    return ToolPins(
        connections={name: await connections.definitions(name, person=person) for name in connections.names}
    )


def _past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _say(link: Link, connection: str, error: Exception) -> str:
    return link.scrubber.text(f"connection {connection}: {error}")[:4000]
