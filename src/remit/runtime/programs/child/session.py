"""`session`: what a program is given, and its only way out."""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .asks import NOTHING, more_of, schema_of
from .clock import CLOCK, stream
from .origins import Origins

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


class Parameters:
    """The agent's parameters, as `parameters.yaml` of its version has them: `session.parameters.NAME`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(sorted(self._values)) or "none"
            raise AttributeError(f"there is no parameter {name!r}; parameters.yaml declares: {known}") from None

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values


class Session:
    """The program's side of its session. Everything awaited here is governed, recorded and replayed."""

    Refused = Refused
    Failed = Failed
    Unknown = Unknown

    def __init__(
        self,
        given: Any,
        seed: str,
        ask: Ask,
        *,
        person: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        origins: Origins | None = None,
    ) -> None:
        self.input = given
        """What the session was started with."""
        self.person = person
        """The id of the person on whose behalf the program acts, or None."""
        self.parameters = Parameters(parameters or {})
        """The agent's parameters, by name."""
        self._origins = origins or Origins()
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
        choices: Sequence[Any] | Mapping[str, str] | None = None,
        text: bool | Mapping[str, Any] = False,
        number: bool | Mapping[str, Any] = False,
        yes_no: bool = False,
        to: str | None = None,
        context: Any = None,
        confidence: float | None = None,
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 - the turn ends meanwhile; nothing runs that long
        default: Any = NOTHING,
        then: Iterable[tuple[str, timedelta | float]] = (),
        remember: str | None = None,
        scope: str = "agent",
        subject: str | None = None,
        keep_days: int | None = None,
    ) -> Any:
        """Ask a person and return the answer, however long that takes.

        One of these says what an answer is: `choices`, a list, a dict of answer to label, or a list of records with
        `id`, `title` and more, where the answer is the id; `text=True` or a dict with `min` and `max` characters and
        `multiline`; `number=True` or a dict with `min`, `max` and `whole`; `yes_no=True`; or a JSON `schema`.

        `to` is a person's id, `role:ID` or `channel:NAME`; without it the agent's escalation contact is asked. `then`
        lists who is asked as well, each with the time (timedelta or seconds) after the one before; without it the
        reporting line is. After `timeout` the answer is the `default`, or session.Refused is raised, whose reason has
        the code `question_expired`; `nobody_to_ask` where nobody could ever answer.

        With `remember`, what is remembered under that key is the answer, and nobody is asked; whoever answers may have
        the answer remembered there. `scope`, `subject` and `keep_days` are as in `session.remember`.
        """
        wanted = schema_of(schema=schema, choices=choices, text=text, number=number, yes_no=yes_no)
        more = more_of(
            timeout=timeout,
            default=default,
            then=then,
            remember=remember,
            scope=scope,
            subject=subject,
            keep_days=keep_days,
        )
        payload = {"text": _text(question, "the question"), "schema": wanted, "to": to, "context": context}
        return await self._ask("ask", payload | {"confidence": confidence} | ({"more": more} if more else {}))

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

    async def explain(
        self,
        row: Any,
        reasons: Iterable[str | Mapping[str, Any]],
        *,
        name: str = "rows",
        key: str | None = None,
        rank: int | None = None,
        title: str | None = None,
        sources: Sequence[Any] = (),
    ) -> None:
        """Put out a row of a list with its reasons, so that anyone can ask why it is there and why so high.

        `name` is the list's. `key` and `title` are taken from the row's `key` or `id`, and its `title` or `name`, where
        they are not given; `rank` from the order. Objects in `row` and `sources` that came from calls are traced there.
        """
        given = _row(row, reasons, key, rank, title, self._origins.of(row, *sources))
        await self._ask("explain", {"name": _text(name, "the name"), "rows": [given], "at": _place()})

    async def explain_all(self, name: str, rows: Iterable[tuple[Any, Iterable[str | Mapping[str, Any]]]]) -> None:
        """Put out a whole list, best first, at once: pairs of a row and its reasons. Much cheaper than row by row."""
        given = [
            _row(row, reasons, None, rank, None, self._origins.of(row)) for rank, (row, reasons) in enumerate(rows, 1)
        ]
        await self._ask("explain", {"name": _text(name, "the name"), "rows": given, "at": _place()})

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


def _row(
    row: Any,
    reasons: Iterable[str | Mapping[str, Any]],
    key: str | None,
    rank: int | None,
    title: str | None,
    origins: list[dict[str, Any]],
) -> dict[str, Any]:
    if isinstance(reasons, (str, Mapping)):
        raise TypeError("reasons is a list of sentences, or of dicts with `code` and `text`")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise ValueError("rank is a whole number from 1")
    return {
        "key": str(_first(row, "key", "id") if key is None else key),
        "rank": rank,
        "title": str(_first(row, "title", "name") if title is None else title),
        "row": row,
        "reasons": [_reason(r) for r in reasons],
        "from": origins,
    }


def _first(row: Any, *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), "") if isinstance(row, dict) else ""


def _place() -> str:
    """File and line of the program that is at work, as `program.py:12`; empty if no frame of it is in sight."""
    frame = sys._getframe(2)  # noqa: SLF001 - the inspect module does no better and costs more
    while frame is not None and not frame.f_code.co_filename.startswith("agents/"):
        frame = frame.f_back  # type: ignore[assignment]
    return "" if frame is None else f"{frame.f_code.co_filename.split('/', 2)[2]}:{frame.f_lineno}"


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
