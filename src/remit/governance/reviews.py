"""Readers' verbs on outputs: accept, edit, reject, dispute. Who may, and who is asked when one is disputed."""

from __future__ import annotations

from typing import Any, Literal

from remit.domain import canonical
from remit.domain.inbox import ItemStatus
from remit.errors import InvalidInput, NotEntitled
from remit.governance import items
from remit.governance.answers import Decider
from remit.governance.state import Governance
from remit.storage import inbox, outputs
from remit.storage.sessions import Db

Verdict = Literal["accepted", "edited", "rejected", "disputed"]
VERDICTS: tuple[Verdict, ...] = ("accepted", "edited", "rejected", "disputed")
"""What a reader can make of an output."""


def review(
    db: Db,
    governance: Governance,
    output_id: str,
    verdict: Verdict,
    reader: Decider,
    reason: str = "",
    *,
    body: Any = None,
) -> dict[str, Any]:
    """Write what a reader makes of an output, in the caller's transaction. Returns the output as it is now.

    Of an edited one that is the new version, the reader's own. A disputed output asks the agent's owner to look, once.
    Raises NotEntitled, Conflict if another reader was first, InvalidInput if a rejection or dispute says no reason.
    """
    if verdict in {"rejected", "disputed"} and not reason.strip():
        raise InvalidInput(f"say why it is {verdict}", advice="Add `--reason TEXT`: it is what the agent learns from.")
    output = outputs.get(db, output_id, lock=True)
    _must_be_reader(governance, output, reader.person)
    if output["status"] == "disputed":
        _must_settle(governance, output, reader.person)
    told: dict[str, Any] = {"by": reader.person, "simulated": reader.simulated, "reason": reason}
    if verdict == "edited":
        done = outputs.revise(db, output, body, **told)
    else:
        done = outputs.decide(db, output, verdict, **told)
    if verdict == "disputed":
        _ask_owner(db, governance, output, reader, reason)
    elif output["status"] == "disputed":
        _close_dispute(db, output, verdict, reader)
    return done


def open_to(governance: Governance, output: dict[str, Any], person_id: str) -> tuple[Verdict, ...]:
    """What this person may make of an output as it stands, if it is the newest version."""
    if not _is_reader(governance, output, person_id):
        return ()
    if output["status"] == "disputed" and not _may_settle(governance, output, person_id):
        return ()
    return tuple(verdict for verdict in VERDICTS if verdict in outputs.NEXT.get(output["status"], ()))


def read_body(before: Any, text: str) -> Any:
    """A reader's version as they have written it: text where the output was text, else the JSON that the text is.

    Raises InvalidInput.
    """
    return text if isinstance(before, str) else canonical.parse(text, what="output")


def _is_reader(governance: Governance, output: dict[str, Any], person_id: str) -> bool:
    directory = governance.project.directory
    person = directory.person(person_id)
    sees = person is not None and output["workspace"] in person.workspaces
    return directory.is_active(person_id) and (sees or person_id in _owners(governance, output))


def _must_be_reader(governance: Governance, output: dict[str, Any], person_id: str) -> None:
    if not _is_reader(governance, output, person_id):
        raise NotEntitled(
            f"{person_id} does not belong to the workspace {output['workspace']} of this output",
            advice="Whoever belongs to it, and the agent's owner, may review it.",
        )


def _may_settle(governance: Governance, output: dict[str, Any], person_id: str) -> bool:
    """A dispute is settled by the agent's owner, somebody above, or whoever raised it."""
    directory = governance.project.directory
    owners = _owners(governance, output)
    above = {person.id for owner in owners for person in directory.chain(owner)}
    return person_id in {*owners, *above, output["decided_by"]}


def _must_settle(governance: Governance, output: dict[str, Any], person_id: str) -> None:
    if not _may_settle(governance, output, person_id):
        raise NotEntitled(
            f"{output['id']} is disputed by {output['decided_by']}, and {person_id} may not settle that",
            advice=f"Ask the agent's owner: {', '.join(_owners(governance, output)) or 'nobody'}.",
        )


def _owners(governance: Governance, output: dict[str, Any]) -> tuple[str, ...]:
    version = governance.agent(output["agent"])
    return items.people(governance, (version.spec.owner,)) if version is not None else ()


def _ask_owner(db: Db, governance: Governance, output: dict[str, Any], reader: Decider, reason: str) -> None:
    title = output["title"] or output["name"]
    inbox.open_attention(
        db,
        output["session_id"],
        output["turn_id"],
        f"{reader.person} disputes {title!r} of {output['agent']}: {reason}",
        _owners(governance, output),
        {
            "why": "output_disputed",
            "output": output["id"],
            "by": reader.person,
            "say": f"remit outputs accept|edit|reject {output['id']}",
        },
        dedup=_dedup(output),
    )


def _close_dispute(db: Db, output: dict[str, Any], verdict: str, reader: Decider) -> None:
    item = inbox.open_by_dedup(db, _dedup(output))
    if item is not None:
        decision = {"verdict": verdict, "by": reader.person, "simulated": reader.simulated}
        inbox.close(db, item, ItemStatus.DECIDED, decision)


def _dedup(output: dict[str, Any]) -> str:
    return f"dispute:{output['id']}"
