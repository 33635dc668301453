"""`session`: what a program is given, and its only way out."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .clock import CLOCK, stream

Ask = Callable[[str, dict[str, Any]], "asyncio.Future[Any]"]
"""Sends a request of one kind and gives the future of its result."""


class CallError(Exception):
    """A call did not succeed; the subclass says how."""

    def __init__(self, message: str, reasons: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.reasons: list[dict[str, Any]] = [dict(reason) for reason in reasons]


class Refused(CallError):
    """It was not allowed, or a person denied it. `reasons` say why: dicts with `code`, `text`, `policy_id`."""


class Failed(CallError):
    """It was allowed and did not work; nothing happened, or the message says what."""


class Unknown(CallError):
    """Nobody can say whether it happened. Never do it again without asking."""


class Session:
    """The program's side of its session. Everything awaited here is governed, recorded and replayed."""

    Refused = Refused
    Failed = Failed
    Unknown = Unknown

    def __init__(self, given: Any, seed: str, ask: Ask) -> None:
        self.input = given
        """What the session was started with."""
        self.random: random.Random = stream(seed, "session")
        """Random numbers that are the same in every replay of this turn."""
        self._uuids = stream(seed, "uuid")
        self._ask = ask

    async def call(self, action: str, /, *, reason_: str = "", **args: Any) -> Any:
        """Call a tool and return its answer.

        `reason_` is your reason, shown to whoever approves. Raises session.Refused, session.Failed, session.Unknown.
        """
        _text(action, "the name of the action")
        return await self._ask("call", {"action": action, "args": args, "reason": _text(reason_, "reason_")})

    async def ask(
        self,
        question: str,
        *,
        schema: Mapping[str, Any] | None = None,
        choices: Sequence[Any] | None = None,
        to: str | None = None,
        context: Any = None,
        confidence: float | None = None,
    ) -> Any:
        """Ask a person and return the answer, however long that takes.

        Give a JSON Schema or a list of choices. `to` is a person's id or `role:ID`; without it the agent's escalation
        contact is asked. Raises session.Refused if nobody answers in time.
        """
        if (schema is None) == (choices is None):
            raise TypeError("give session.ask either schema= or choices=")
        wanted = {"enum": list(choices)} if choices is not None else dict(schema or {})
        payload = {"text": _text(question, "the question"), "schema": wanted, "to": to, "context": context}
        return await self._ask("ask", payload | {"confidence": confidence})

    async def model(
        self, model: str, /, *, prompt: str, schema: Mapping[str, Any] | None = None, max_output_tokens: int = 1024
    ) -> Any:
        """Ask a language model, named `provider:name`. Returns text, or with a JSON Schema the value that fits it."""
        payload = {"model": _text(model, "the model"), "prompt": _text(prompt, "the prompt")}
        if max_output_tokens < 1:
            raise ValueError("max_output_tokens must be at least 1")
        wanted = None if schema is None else dict(schema)
        return await self._ask("model", payload | {"schema": wanted, "max_output_tokens": max_output_tokens})

    async def emit(self, name: str, value: Any, reasons: Iterable[str | Mapping[str, Any]] = ()) -> None:
        """Put out a row or an event, with the reasons for it: sentences, or dicts with `code` and `text`."""
        payload = {"name": _text(name, "the name"), "value": value, "reasons": [_reason(r) for r in reasons]}
        await self._ask("emit", payload)

    async def delegate(
        self, agent: str, input_: Any, *, title: str = "", wait: bool = True, within_seconds: int | None = None
    ) -> Any:
        """Have another agent do a piece of work in a session of its own; `remit.delegate` is on the list of tools.

        Returns `{"session": …, "status": …, "output": …}`, with `wait=False` only `session`. Raises session.Failed if
        the work failed or took longer than `within_seconds`, session.Refused if it may not be delegated.
        """
        more: dict[str, Any] = {"title": title, "wait": wait} | _given(within_seconds=within_seconds)
        return await self.call("remit.delegate", agent=agent, input=input_, **more)

    async def remember(
        self,
        key: str,
        value: Any,
        *,
        why: str,
        scope: str = "agent",
        subject: str | None = None,
        keep_days: int | None = None,
    ) -> Any:
        """Keep a fact for later sessions. `scope` is `agent`, `workspace` or `person`, whose id is the `subject`."""
        more: dict[str, Any] = {"scope": scope} | _given(subject=subject, keep_days=keep_days)
        return await self.call("remit.remember", key=key, value=value, why=why, **more)

    async def recall(self, key: str, *, scope: str = "agent", subject: str | None = None) -> Any:
        """What was remembered under a key, or None."""
        return (await self.call("remit.recall", key=key, scope=scope, **_given(subject=subject))).get("value")

    async def publish(self, name: str, body: Any, *, title: str, kind: str = "report") -> Any:
        """Keep a `draft`, `report`, `list` or `other` output for people to review. Returns its id and version."""
        return await self.call("remit.publish", name=name, title=title, body=body, kind=kind)

    async def tell(
        self, text: str, *, to: str | None = None, channel: str | None = None, title: str | None = None
    ) -> Any:
        """Send a message to a person (or `role:ID`) or a channel, over the surfaces that are turned on."""
        return await self.call("remit.tell", text=text, **_given(to=to, channel=channel, title=title))

    async def match(self, query: str, candidates: Mapping[str, Sequence[str]], *, limit: int = 5) -> Any:
        """Which of some names is meant: candidates are id to names; returns `id`, `name` and `score` from 0 to 1."""
        given = [{"id": key, "names": list(names)} for key, names in candidates.items()]
        return (await self.call("remit.match", query=query, candidates=given, limit=limit))["matches"]

    async def suggest(self, idea: str) -> Any:
        """Pass on what somebody would like to see, as an idea for the agent's owner."""
        return await self.call("remit.suggest", idea=idea)

    def now(self) -> datetime:
        """The turn's time, in UTC. The same in every replay; reading it takes no time."""
        return datetime.fromtimestamp((CLOCK.started + CLOCK.offset) // 1_000 / 1_000_000, UTC)

    def uuid4(self) -> uuid.UUID:
        """A random id that is the same in every replay of this turn."""
        return uuid.UUID(bytes=self._uuids.randbytes(16), version=4)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _reason(reason: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(reason, str):
        return {"code": "", "text": reason, "policy_id": None}
    policy = reason.get("policy_id")
    return {
        "code": _text(reason.get("code", ""), "code"),
        "text": _text(reason.get("text", ""), "text"),
        "policy_id": None if policy is None else _text(policy, "policy_id"),
    }


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a {type(value).__name__}; it must be text")
    return value
