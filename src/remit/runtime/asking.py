"""Asking people: what is remembered is the answer; else an item is opened, and the turn waits as rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from remit.domain import canonical, ids
from remit.domain.decisions import ActionStatus, Call, Decision
from remit.domain.questions import Question, Remember, check_answer, check_schema, key_of
from remit.errors import InvalidInput
from remit.governance import asking, memory
from remit.governance.gate import Gate
from remit.governance.judgement import Run
from remit.governance.state import GovernanceSource
from remit.runtime.road import Performed
from remit.runtime.sessions import Sessions
from remit.storage import memories

ASK = "person.ask"


def call_of(
    turn_id: str, key: str, question: Question, *, delivered: tuple[str, ...] = (), asker_digest: str = ""
) -> Call:
    """The question as the ledger keeps it. Raises InvalidInput if nobody could answer it as it is."""
    check_schema(question.schema)
    args: dict[str, Any] = {
        "text": question.text,
        "schema": question.schema,
        "to": question.to,
        "context": question.context,
        "confidence": question.confidence,
    }
    if question.timeout is not None:
        args["timeout"] = question.timeout.total_seconds()
    if question.has_default:
        try:
            args["default"] = check_answer(question.schema, question.default)
        except InvalidInput as error:
            raise InvalidInput(f"the default of a question is no answer to it: {error.message}") from None
    if question.then:
        args["then"] = [{"to": s.to, "after": s.after.total_seconds()} for s in question.then]
    if question.remember is not None:
        asked = question.remember
        args["remember"] = {
            "key": asked.key,
            "scope": asked.scope,
            "subject": asked.subject,
            "keep_days": asked.keep_days,
        }
    normal = canonical.normalise(args, what="question")
    return Call(turn_id, key, ASK, normal, "ask", delivered=delivered, asker_digest=asker_digest)


class Asker:
    """Asks for one run."""

    def __init__(
        self,
        gate: Gate,
        source: GovernanceSource,
        run: Run,
        sessions: Sessions | None,
        now: Callable[[], datetime],
    ) -> None:
        self._gate = gate
        self._source = source
        self._run = run
        self._sessions = sessions
        self._now = now

    async def ask(self, call: Call, question: Question) -> Performed | Decision | None:
        """Answer from memory, open an item, or refuse; the gate's decision where that is not the end of it."""
        remember = question.remember or Remember(key_of(question.text, call.args["schema"], call.args["context"]))
        place = memory.place_of(self._run, remember.scope, remember.subject)
        if self._sessions is not None:
            known = await asyncio.to_thread(self._known, self._sessions, call, place, remember.key)
            if known is not None:
                return await self._from_memory(call, known)
        agent = self._run.actor.agent
        governance = self._source.current()
        version = governance.agent(agent)
        if version is None:
            return await self._gate.keep(self._run, call)  # which refuses, and says why
        memory.keep_for(version.spec, remember.keep_days)
        asked = asking.whom(governance.project.directory, version.spec, question.to)
        if asked is None:
            why = asking.nobody(question.to, agent)
            return await self._gate.refuse(self._run, call, why.code, why.text)
        item = asking.question_item(agent, question, asked, remember, place, now=self._now())
        return await self._gate.keep(self._run, call, item)

    def _known(self, sessions: Sessions, call: Call, place: memories.Place, key: str) -> memories.Known | None:
        """What is remembered, if it still answers the question; the use is recorded before anybody gets it."""
        action_id = ids.action_id(call.turn_id, call.key)
        with sessions.transaction() as db:
            begun = memories.known_answer(db, action_id)
            if begun is not None:  # an earlier run died between this and the next step
                self._run.labels |= begun.labels
                return begun
            found = memories.in_force(db, place, key)
            if found is None or not _answers(call.args["schema"], found.value):
                return None
            memories.use_as_answer(db, found, action_id, self._run.session_id, self._run.turn_id)
            self._run.labels |= found.labels
            return found

    async def _from_memory(self, call: Call, known: memories.Known) -> Performed | Decision | None:
        decision = await self._gate.keep(self._run, call)
        if decision is not None:
            return decision
        assert self._sessions is not None, "only with a database is anything known"
        action_id = ids.action_id(call.turn_id, call.key)
        at = await asyncio.to_thread(self._say_whence, self._sessions, action_id, known)
        return Performed(action_id, ActionStatus.SUCCEEDED, known.value, at=at)

    @staticmethod
    def _say_whence(sessions: Sessions, action_id: str, known: memories.Known) -> datetime:
        with sessions.transaction() as db:
            return memories.say_whence(db, action_id, known)


def _answers(schema: Any, value: Any) -> bool:
    try:
        check_answer(schema, value)
    except InvalidInput:
        return False
    return True
