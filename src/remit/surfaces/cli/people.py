"""What waits for people, and what they decide."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"inbox": inbox_, "decide": decide, "answer": answer, "undo": undo}


@click.command("inbox")
@click.argument("item_id", required=False)
@click.option("--all", "everything", is_flag=True, help="Decided and expired items too.")
@click.option("--person", "mine", metavar="PERSON", help="Only what this person may answer, and what they were told.")
@click.option(
    "--kind",
    type=click.Choice(["approval", "question", "reconciliation", "attention", "idea"]),
    help="Only this kind.",
)
@common.json_option
@common.project_option
def inbox_(
    item_id: str | None, everything: bool, mine: str | None, kind: str | None, as_json: bool, folder: Path
) -> None:
    """List what waits for a person, or show ITEM_ID with everything that is needed to decide."""
    from remit.evidence.shaping import work as shaping  # noqa: PLC0415 - heavy
    from remit.storage import inbox  # noqa: PLC0415

    with common.services(folder) as services, services.sessions.transaction() as db:
        if item_id is not None:
            shown = shaping.item_in_full(services.deployments.load(), db, item_id)
            common.print_json(shown) if as_json else _print_item(shown)
            return
        found = inbox.listing(db, status=None if everything else "open", person=mine, kind=kind)
        told = inbox.notices(db, mine) if mine is not None else []
    if as_json:
        common.print_json([shaping.item(i) for i in found])
        return
    rows = [(i.id, i.kind, i.status, i.summary, ", ".join(i.assignees), i.expires_at) for i in found]
    common.table(
        ("item", "kind", "status", "what", "who may answer", "expires"), rows, empty="Nothing waits for anybody."
    )
    for notice in told:
        where = f", {notice['session_id']}" if notice["session_id"] is not None else ""
        click.echo(f"told: {common.cell(notice['text'])} ({notice['kind']}{where})")


def _print_item(shown: dict[str, Any]) -> None:
    common.heading(f"{shown['id']}  {shown['kind']}, {shown['status']}")
    common.line("what", shown["summary"])
    detail = shown["detail"]
    common.line("why", detail.get("why"))
    _print_question(detail)
    for name, value in (shown.get("args") or {}).items() if shown["kind"] != "question" else ():
        common.line(f"  {name}", common.compact(value))
    for name, change in (detail.get("changes") or {}).items():
        now, then = common.compact(change["now"]), common.compact(change["then"])
        if change.get("beside"):
            common.line("beside", f"{name} {then}; there now, {change['beside']}: {now}")
        else:
            common.line("changes", f"{name}: now {now}, then {then}")
    common.line("there now", common.compact(detail["current"]) if detail.get("current") is not None else None)
    for reason in detail.get("reasons") or []:
        common.line("because", f"{reason['code']}: {reason['text']}")
    for policy in shown.get("policies") or []:
        common.line("policy", f"{policy['id']} ({policy['where']})")
    for role, holders in (shown.get("raci") or {}).items():
        common.line(role.replace("_", " "), ", ".join(holders))
    common.line("reversible", {True: "yes", False: "no"}.get(shown.get("reversible")))  # type: ignore[arg-type]
    for past in shown.get("history") or []:
        common.line("before", f"{past['created_at']:%Y-%m-%d} {past['status']} by {(past['override'] or {}).get('by')}")
    common.line("session cost", f"{shown['session_usd']} USD" if "session_usd" in shown else None)
    for told in shown["told"]:
        why = f": {told['error']}" if told["error"] else ""
        common.line(
            "told", f"{told['to']} by {told['surface']}, {told['status']} {told['sent_at'] or ''}".strip() + why
        )
    common.line("may answer", ", ".join(shown["assignees"]))
    common.line("expires", shown["expires_at"])
    if shown["status"] == "open":
        click.echo(f"\n  {_HOW[shown['kind']].format(shown['id'])}")


def _print_question(detail: dict[str, Any]) -> None:
    from remit.domain.questions import form_of_schema  # noqa: PLC0415

    common.line("idea", detail.get("idea"))
    if "question" not in detail:
        return
    common.line("question", detail["question"])
    common.line("context", common.compact(detail["context"], 1_000) if detail.get("context") is not None else None)
    common.line("confidence", detail.get("confidence"))
    form = form_of_schema(detail.get("schema") or {})
    common.line("takes", form.wanted)
    if form.kind == "record":
        for option in form.options[:20]:
            common.line(f"  {common.cell(option.value)}", f"{option.label} {common.compact(option.details)}")
    common.line("default", common.compact(detail["default"]) if "default" in detail else None)
    common.line("channel", detail.get("channel"))
    common.line("remember", (detail.get("remember") or {}).get("key"))


_HOW = {
    "approval": "remit decide {} approve|edit|deny --reason …",
    "question": "remit answer {} VALUE [--remember]",
    "reconciliation": "remit answer {} happened|did-not-happen --reason …",
    "attention": "remit answer {} continue|cancel --reason …",
    "idea": "remit ideas accept|ship|decline {}",
}
"""How an item of each kind is answered."""


@click.command("decide")
@click.argument("item_id")
@click.argument("verdict", type=click.Choice(["approve", "edit", "deny"]))
@common.reason_option
@click.option("--input", "edited", metavar="JSON", help="For edit: the arguments as you want them; JSON, @FILE or -.")
@common.as_option
@common.json_option
@common.project_option
def decide(
    item_id: str, verdict: str, reason: str, edited: str | None, person: str | None, as_json: bool, folder: Path
) -> None:
    """Approve, edit and approve, or deny what ITEM_ID asks for.

    Edited arguments are judged anew; where they still need approval, it has to be somebody else's.
    """
    if (verdict == "edit") != (edited is not None):
        raise click.UsageError("`edit` needs `--input` with the arguments as you want them, and only `edit` takes it")
    changed = common.read_input(edited) if edited is not None else None
    with common.services(folder) as services:
        who = common.decider(services, person)
        if verdict == "deny":
            done = services.sessions.deny(item_id, who, reason)
        else:
            done = services.sessions.approve(item_id, who, reason, edited=changed)
    if as_json:
        common.print_json(_shape(done))
    elif done.status == "open":
        click.echo(f"{item_id}: noted; still needed: {', '.join(done.assignees)}")
    else:
        click.echo(f"{item_id}: {(done.decision or {}).get('verdict')} by {who.person}")


@click.command("answer", context_settings={"ignore_unknown_options": True})
@click.argument("item_id")
@click.argument("value")
@click.option("--reason", default="", help="Why; kept with the answer.")
@click.option("--remember", is_flag=True, help="Remember the answer, so that this is not asked again.")
@common.as_option
@common.json_option
@common.project_option
def answer(
    item_id: str, value: str, reason: str, remember: bool, person: str | None, as_json: bool, folder: Path
) -> None:
    """Answer what ITEM_ID asks with VALUE.

    A question says what it takes (`remit inbox ITEM_ID`): a choice by its value or label, a number, `yes` or `no`, text
    as it stands, else JSON. For an unknown outcome say `happened` or `did-not-happen`; for stopped work `continue` or
    `cancel`. The first answer counts.
    """
    with common.services(folder) as services:
        who = common.decider(services, person)
        done = services.sessions.answer(item_id, who, value, reason, remember=remember, via="cli")
    if as_json:
        common.print_json(_shape(done))
        return
    kept = (done.decision or {}).get("memory")
    click.echo(f"{item_id}: answered by {who.person}{f', remembered as {kept}' if kept else ''}")


@click.command("undo")
@click.argument("target")
@common.reason_option
@click.option("--wait", is_flag=True, help="Wait until it is done.")
@common.as_option
@common.json_option
@common.project_option
def undo(target: str, reason: str, wait: bool, person: str | None, as_json: bool, folder: Path) -> int:
    """Take back an action, or every action of a session that can be taken back, newest first.

    TARGET is an action's or a session's id. Each undo is an action of its own, judged and approved like any other.
    """
    from remit.evidence.shaping import work as shaping  # noqa: PLC0415 - heavy

    with common.services(folder) as services:
        who = common.decider(services, person)
        author = f"person:{who.person}"
        if target.startswith("ses_"):
            report = shaping.taken_back(*services.sessions.undo_session(target, author, reason))
        else:
            row = _action(services, target)
            report = [shaping.undone(row, "asked", services.sessions.undo(target, author, reason))]
        if wait:
            _wait_for(services, report)
    if as_json:
        common.print_json(report)
    else:
        rows = [(r["action"], r["type"], r["undo"], r["error"] or r["turn"]) for r in report]
        common.table(("action", "type", "undo", ""), rows, empty="There is nothing to take back.")
    return 1 if any(r["undo"] in {"failed", "irreversible", "unsettled"} for r in report) else 0


def _action(services: Any, action_id: str) -> dict[str, Any]:
    from remit.storage import actions  # noqa: PLC0415

    with services.sessions.transaction() as db:
        return actions.get(db, action_id)


def _wait_for(services: Any, report: list[dict[str, Any]], seconds: float = 60) -> None:
    """Wait until every undo is done, failed or waits for somebody; what takes longer stays `asked`."""
    from remit.storage import sessions  # noqa: PLC0415

    until = time.monotonic() + seconds
    for entry in report:
        while entry["turn"] is not None and time.monotonic() < until:
            with services.sessions.transaction() as db:
                turns = sessions.turns(db, entry["session_id"])
            turn = next(t for t in turns if t["id"] == entry["turn"])
            if turn["status"] in _ENDED:
                entry |= {"undo": _ENDED[turn["status"]], "error": turn["error"]}
                break
            time.sleep(0.1)


def _shape(done: Any) -> dict[str, Any]:
    from remit.evidence.shaping import work as shaping  # noqa: PLC0415 - heavy

    return shaping.item(done)


_ENDED = {"finished": "done", "waiting": "waits", "failed": "failed", "cancelled": "failed"}
"""What a turn's status says of the undo that it makes."""
