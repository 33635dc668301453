"""What is said in sessions, and what goes on from them: messages, forks, taking back. Each is one transaction."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

from remit.domain.agents import AgentVersion
from remit.domain.records import Tag
from remit.domain.sessions import Session
from remit.errors import Conflict, InvalidInput
from remit.governance import ideas
from remit.governance.state import Governance
from remit.runtime import forks, messages, undoing
from remit.runtime.verbs import Verbs, deployed, kind_of
from remit.storage import actions, sessions
from remit.storage.sessions import Db

_FORK_OF = "Fork of "


class Conversations(Verbs):
    """The verbs of those who talk in sessions."""

    def message(self, session_id: str, author: str, contents: Any, *, to: str | None = None) -> str:
        """Say something in a session: a new turn. Returns the turn's id; of an idea that is no message, the idea's.

        A text that begins with `@agent`, or `to`, has that agent answer, as it was deployed when it was first
        addressed in the session; everything else is answered by the session's own. Raises Conflict where the session
        is paused or cancelled, NotEntitled if the author may not write in it, InvalidInput if what was said fits no
        agent. A text that begins with `I want to see` or `idea:` is kept as an idea; an agent that takes no text is not
        given it.
        """
        with self.transaction() as db:
            return self.say(db, session_id, author, contents, to=to)

    def say(self, db: Db, session_id: str, author: str, contents: Any, *, to: str | None = None) -> str:
        """What `message` does, in the caller's transaction."""
        said = messages.read(contents) if to is None else messages.Said(to, contents)
        governance = self._deployments.load()
        session = sessions.get(db, session_id, lock=True)
        messages.check_author(governance, session, author)
        messages.check_open(session)
        version = self._answering(db, governance, session, said.to)
        idea = ideas.from_message(db, governance, session, version.agent, author, said.contents)
        try:
            given = messages.answered_by(version, said.contents)
        except InvalidInput:
            if idea is None:
                raise
            return idea  # an agent that takes no text has nothing to answer; its owner has
        assisted = version.spec.layer == "assisted" and author.startswith("person:")
        turn_id, digest = sessions.add_turn(
            db,
            session_id,
            author,
            version.agent,
            version.digest,
            given,
            kind=kind_of(version),
            on_behalf_of=author.removeprefix("person:") if assisted else None,
        )
        sessions.record(
            db, Tag.SESSION_MESSAGE, session=session_id, turn=turn_id, by=author, agent=version.agent, message=digest
        )
        sessions.reopen(db, session_id)
        self.resume_turn(db, turn_id)
        return turn_id

    def plan_fork(self, session_id: str, at: str | None = None, *, said: bool = False) -> forks.Plan:
        """What forking a session would give: which of its effects are history, and what would be new."""
        with self.transaction() as db:
            return forks.plan(db, self._deployments.load(), sessions.get(db, session_id), at, said=said)

    def fork(
        self, session_id: str, author: str, *, at: str | None = None, message: Any = None, simulated: bool = False
    ) -> tuple[str, forks.Plan]:
        """Go on from some point of a session in a new one; the old one stays as it is. Returns its id and the plan.

        `at` is a turn, which is done anew from its beginning, or `TURN:KEY`, the first thing that is done anew; without
        it the newest turn goes on from where it stands. With `message` the fork begins with that, after all that was
        said before. Whoever forks is its author: it acts for nobody else. Raises NotFound, NotEntitled, InvalidInput.
        """
        governance = self._deployments.load()
        with self.transaction() as db:
            session = sessions.get(db, session_id)
            messages.check_author(governance, session, author)
            plan = forks.plan(db, governance, session, at, said=message is not None)
            new = self._forked(db, governance, session, author, plan, message)
            made, turn_id = sessions.create(db, replace(new, simulated=simulated or session.simulated))
            sessions.record(
                db,
                Tag.SESSION_FORKED,
                session=made,
                turn=turn_id,
                by=author,
                origin=session_id,
                point=plan.point,
                inherited=[effect.id for effect in plan.history],
            )
            self.resume_turn(db, turn_id)
        return made, plan

    def _forked(
        self, db: Db, governance: Governance, session: Session, author: str, plan: forks.Plan, message: Any
    ) -> sessions.NewSession:
        version = self._deployments.version(session.agent, session.agent_version)
        deployed(governance, session.agent)
        if plan.turn is not None:
            answering = self._deployments.version(plan.turn.agent, plan.turn.agent_version)
            contents = plan.turn.message
        else:
            said = messages.read(message)
            answering = self._answering(db, governance, session, said.to)
            contents = messages.answered_by(answering, said.contents)
        assisted = sessions.is_assisted(db, session.id)
        person = author.removeprefix("person:") if assisted or answering.spec.layer == "assisted" else None
        return sessions.NewSession(
            agent=session.agent,
            agent_version=version.digest,
            workspace=session.workspace,
            workflow=session.workflow,
            principal=author,
            on_behalf_of=person,
            trigger="fork",
            request_id=session.request_id,
            title=_fork_title(session),
            simulated=False,
            assisted=assisted,
            input=contents,
            labels=session.labels,
            depth=session.depth,
            fork=plan.as_fork(answering),
        )

    def _answering(self, db: Db, governance: Governance, session: Session, to: str | None) -> AgentVersion:
        """The agent that answers a message in a session, in the version that the session keeps of it."""
        if to in {None, session.agent}:
            return self._deployments.version(session.agent, session.agent_version)
        version = messages.addressed(governance, session, to or "")
        kept = sessions.version_used(db, session.id, version.agent)
        return version if kept is None else self._deployments.version(version.agent, kept)

    def undo(self, action_id: str, author: str, reason: str) -> str:
        """Take an action back by the call that its type declares. Returns the id of the turn that does it.

        Raises Conflict where the action did not succeed, was undone already, or is irreversible, and where its session
        was ended for good.
        """
        with self.transaction() as db:
            action = actions.get(db, action_id)
            action_type = self._deployments.current().action_type(action["action"])
            if action["status"] != "succeeded" or action["undone_by"] is not None:
                raise Conflict(f"action {action_id} is {'undone already' if action['undone_by'] else action['status']}")
            if action_type is None or action_type.undo is None:
                raise Conflict(
                    f"{action['action']} is irreversible: its action type declares no undo",
                    advice="Mend it in the other system by hand, and say so in an incident.",
                )
            session = sessions.get(db, action["session_id"])
            undoing.check_open(session)
            return self._ask_back(db, session, action_id, author, reason)

    def plan_undo(self, session_id: str) -> undoing.Takeback:
        """What there is to take back of a session, and what cannot be and why. Raises NotFound."""
        with self.transaction() as db:
            sessions.get(db, session_id)
            return undoing.plan(db, self._deployments.load(), session_id)

    def undo_session(
        self, session_id: str, author: str, reason: str, *, only: Container[str] | None = None, most: int | None = None
    ) -> tuple[undoing.Takeback, dict[str, str]]:
        """Ask for everything that a session did and that can be taken back to be taken back, newest first.

        Returns what there was, and the turn of each action that is asked back now. `only` names the actions to ask for,
        `most` is the most of them. Raises NotFound, or Conflict where the session was ended for good.
        """
        with self.transaction() as db:
            session = sessions.get(db, session_id, lock=True)
            found = undoing.plan(db, self._deployments.load(), session_id)
            wanted = [effect for effect in found.possible if only is None or effect.id in only][:most]
            if wanted:
                undoing.check_open(session)
            return found, {effect.id: self._ask_back(db, session, effect.id, author, reason) for effect in wanted}

    def _ask_back(self, db: Db, session: Session, action_id: str, author: str, reason: str) -> str:
        turn_id, digest = sessions.add_turn(
            db,
            session.id,
            author,
            session.agent,
            session.agent_version,
            {"undo": action_id, "reason": reason},
            kind="undo",
        )
        sessions.record(db, Tag.SESSION_MESSAGE, session=session.id, turn=turn_id, by=author, message=digest)
        sessions.reopen(db, session.id)
        self.resume_turn(db, turn_id)
        return turn_id


def _fork_title(session: Session) -> str:
    """What a fork is called: after what people call the session that it is forked from."""
    if session.trigger == "fork" and session.title.startswith(_FORK_OF):
        return session.title
    request = "" if session.request_id.startswith("ses_") else session.request_id  # without one it is a session's id
    return _FORK_OF + (session.title or request or f"{session.agent}, {session.id[-6:]}")
