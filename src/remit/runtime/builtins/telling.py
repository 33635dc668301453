"""`remit.tell`: a message to a person, the holders of a role, a channel, or the conversation that the session is.

It is a write: who answers for what agents say to people is declared in the project's own actions.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.domain.directory import Directory
from remit.domain.project import RemitToml
from remit.errors import InvalidInput, NotFound
from remit.runtime.deliveries import is_channel, reach
from remit.storage import deliveries
from remit.storage.deliveries import NewMessage

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation


def tell(call: Invocation) -> dict[str, Any]:
    """Write down what is to be sent, once for the action. `told` says to whom and where, `unreachable` who is not."""
    project = call.deployments.current().project
    with call.sessions.transaction() as db:
        known = deliveries.told(db, call.action_id)
        if known:
            return {"told": [_told(row) for row in known], "unreachable": []}
        thread = deliveries.thread_of(db, "slack", call.run.session_id) if project.settings.slack else None
        messages, unreachable = _messages(call, project.settings, project.directory, thread)
        deliveries.add_messages(
            db,
            messages,
            title=call.args.get("title", ""),
            text=call.args["text"],
            session_id=call.run.session_id,
            turn_id=call.run.turn_id,
            action_id=call.action_id,
        )
        return {"told": [_told(row) for row in deliveries.told(db, call.action_id)], "unreachable": unreachable}


def _messages(
    call: Invocation, settings: RemitToml, directory: Directory, thread: str | None
) -> tuple[list[NewMessage], list[str]]:
    """What to send. Raises NotFound or InvalidInput if that is nothing."""
    if settings.slack is None and settings.mail is None:
        raise InvalidInput("no surface is turned on, so nobody can be told: remit.toml has neither [slack] nor [mail]")
    to, channel = call.args.get("to"), call.args.get("channel")
    if to is None and channel is None:
        if thread is not None:
            return [_new(call, "slack", f"@{thread}", thread=thread)], []
        channel = settings.slack.channel if settings.slack is not None else None
    found: list[NewMessage] = []
    unreachable: list[str] = []
    if to is not None:
        people = directory.resolve(to)
        if not people:
            raise NotFound(f"{to} is nobody active in the directory")
        for person in people:
            surfaces = reach(settings, person, None)
            found += [_new(call, surface, person.id, person=person.id) for surface in surfaces]
            unreachable += [] if surfaces else [person.id]
    if channel is not None:
        if not is_channel(channel):
            raise InvalidInput(f"{channel[:80]!r} is no channel: write #name, or the channel's id")
        surfaces = reach(settings, None, channel)
        found += [_new(call, surface, f"#{channel}", channel=channel) for surface in surfaces]
        unreachable += [] if surfaces else [channel]
    if not found:
        who = ", ".join(unreachable) or "nobody was named"
        raise InvalidInput(f"nobody can be told: {who}; directory.yaml gives a person's `slack` and `email`")
    return found, unreachable


def _new(
    call: Invocation,
    surface: str,
    whom: str,
    *,
    person: str | None = None,
    channel: str | None = None,
    thread: str | None = None,
) -> NewMessage:
    return NewMessage(
        surface=surface,
        dedup=f"tell:{surface}:{call.action_id}:{whom}",
        session_id=call.run.session_id,
        action_id=call.action_id,
        person=person,
        channel=channel,
        thread=thread,
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    whom = {"person": row["person"]} if row["person"] else {"channel": row["channel"] or "the conversation"}
    return {"surface": row["surface"], **whom}
