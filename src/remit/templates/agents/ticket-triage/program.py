"""Sorts new tickets: a priority, a group, and a note that says by which words.

The first rule whose words stand in a ticket counts. What fits no rule is left for a person, with a note.
"""

from typing import Any

RULES = (
    # name, words of which one is there, priority, group
    ("outage", ("down", "outage", "not reachable", "production"), "urgent", "operations"),
    ("money", ("refund", "charged", "invoice", "payment"), "high", "billing"),
    ("access", ("log in", "login", "password", "locked out"), "high", "support"),
    ("question", ("how do i", "is there a way", "?"), "low", "support"),
)


async def run(session: Any) -> dict[str, Any]:
    """Sort what is new."""
    found = await session.call("zendesk.list_tickets", status="new", limit=session.input.get("limit", 20))
    rows = [judged(ticket) for ticket in found["tickets"]]
    await session.explain_all("tickets", [(row, [row["why"]]) for row in rows])
    for row in rows:
        ticket = row["ticket"]["id"]
        if row["rule"]:
            fields = {"priority": row["priority"], "group": row["group"], "status": "open"}
            await session.call("zendesk.update_ticket", ticket_id=ticket, fields=fields, reason_=row["why"])
        await session.call("zendesk.add_note", ticket_id=ticket, body=f"Sorted: {row['why']}.")
    return {"sorted": sum(1 for row in rows if row["rule"]), "left": sum(1 for row in rows if not row["rule"])}


def judged(ticket: dict[str, Any]) -> dict[str, Any]:
    """A ticket with the first rule that fits it."""
    text = f"{ticket['subject']} {ticket['body']}".lower()
    for name, words, priority, group in RULES:
        word = next((word for word in words if word in text), None)
        if word is not None:
            why = f"it says “{word}”, so it is a matter of {name}: {priority}, for {group}"
            return {"key": ticket["id"], "title": ticket["subject"], "rule": name, "priority": priority} | {
                "group": group,
                "why": why,
                "ticket": ticket,
            }
    why = "no rule fits its words, so a person has to look"
    return {"key": ticket["id"], "title": ticket["subject"], "rule": "", "why": why, "ticket": ticket}
