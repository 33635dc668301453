# ruff: noqa: ANN001, ANN201
"""Hands one ticket up to a manager, and enters what they say. The CRM keeps that it is done once."""

from datetime import date

CHOICES = ["I take it", "the owner answers today", "it is not urgent"]


async def run(session):
    """Look once more, hand the ticket up, tell the manager, and wait for what they decide."""
    account_id, ticket_id = session.input["account_id"], session.input["ticket_id"]
    account = await session.call("crm.get_account", account_id=account_id)
    open_tickets = (await session.call("helpdesk.list_account_tickets", account_ids=[account_id]))["tickets"]
    ticket = next((one for one in open_tickets if one["ticket_id"] == ticket_id), None)
    if ticket is None or ticket["answered_on"] is not None:
        return {"outcome": "answered_meanwhile"}
    raised = await session.call("crm.open_escalation", account_id=account_id, ticket_id=ticket_id)
    if not raised["first"]:
        return {"outcome": "handed_up_before", "manager": raised["manager"]}
    said = describe(account, ticket, session.now().date())
    await session.emit("escalated", {"ticket_id": ticket_id, "manager": raised["manager"]}, reasons=[said])
    try:
        await session.tell(said, to=raised["manager"], title=f"{account['name']}: {ticket_id}")
    except (session.Refused, session.Failed) as trouble:  # the question below reaches them all the same
        await session.emit("not_told", {"person": raised["manager"]}, reasons=[str(trouble)])
    decision = await session.ask(f"{said} What is to happen?", choices=CHOICES, to=raised["manager"])
    await session.call("crm.decide_escalation", ticket_id=ticket_id, decision=decision)
    return {"outcome": "handed_up", "manager": raised["manager"], "decision": decision}


def describe(account, ticket, today):
    """What the manager reads."""
    days = (today - date.fromisoformat(ticket["opened_on"])).days
    owner = account["owner"] or "nobody"
    what = f"{ticket['ticket_id']} ({ticket['subject']})"
    return f"{account['name']}, an account of {owner}: the urgent ticket {what} has had no answer for {days} days."
