# ruff: noqa: ANN001, ANN201
"""The daily list of one person: four reads in bulk, plain rules, and a message. rules.py decides, weights.py tunes."""

import asyncio
from zoneinfo import ZoneInfo

import rules
import weights


async def run(session):
    """Rank the accounts of the person that the session was started for, and tell them."""
    person = session.input["person"]
    book = await session.call("crm.list_accounts", as_user=person)
    ids = [account["account_id"] for account in book["accounts"]]
    answers = await asyncio.gather(
        session.call("helpdesk.list_account_tickets", account_ids=ids),
        session.call("revenue.list_revenue", account_ids=ids),
    )
    tickets, revenue = answers[0]["tickets"], answers[1]["accounts"]
    today = session.now().astimezone(ZoneInfo(book["user"]["time_zone"])).date()
    rows = rules.rank(book["accounts"], tickets, revenue, today)
    shown = rows[: weights.LONGEST_LIST]
    await session.explain_all("priorities", [(row, row["reasons"]) for row in shown])
    for ticket in rules.to_escalate(book["accounts"], tickets, revenue, today):
        what = {"account_id": ticket["account_id"], "ticket_id": ticket["ticket_id"]}
        await session.delegate("escalation", what, title=f"Escalate {ticket['ticket_id']}", wait=False)
    title = f"Priorities of {today.isoformat()}"
    await session.publish("priorities", shown, title=title, kind="list")
    text = letter(book["user"]["name"], len(ids), len(rows), shown)
    try:
        await session.tell(text, to=person, title=title)
    except (session.Refused, session.Failed) as trouble:
        await session.emit("not_told", {"person": person}, reasons=[str(trouble)])
    return {"person": person, "accounts": len(ids), "listed": [row["id"] for row in shown]}


def letter(name, accounts, needing, rows):
    """The list as its reader gets it."""
    if not rows:
        return f"Good morning {name}. None of your {accounts} accounts needs you today."
    lines = [f"Good morning {name}. {needing} of your {accounts} accounts need you; these come first:"]
    for place, row in enumerate(rows, 1):
        why = "; ".join(reason["text"] for reason in row["reasons"])
        lines.append(f"{place}. {row['name']} ({row['id']}, {row['points']} points): {why}")
    return "\n".join(lines)
