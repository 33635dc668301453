# ruff: noqa: ANN001, ANN003, ANN201
"""The daily list of one person: reads in bulk, plain rules, and a message. rules.py decides, parameters.yaml tunes."""

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import rules
from quiet import quiet_accounts, quiet_letter

PAUSES = [timedelta(minutes=10), timedelta(minutes=30), timedelta(hours=2)]
"""How long a system that does not answer is left alone before it is asked again."""
AGAIN, LEAVE = "try again", "leave it for today"


async def run(session):
    """Rank the accounts of the person that the session was started for, and tell them."""
    person, weights = session.input["person"], session.parameters
    book = await patiently(session, "crm.list_accounts", as_user=person)
    accounts, ids = book["accounts"], [account["account_id"] for account in book["accounts"]]
    answers = await asyncio.gather(
        patiently(session, "helpdesk.list_account_tickets", account_ids=ids),
        patiently(session, "revenue.list_revenue", account_ids=ids),
    )
    tickets, revenue = answers[0]["tickets"], answers[1]["accounts"]
    today = session.now().astimezone(ZoneInfo(book["user"]["time_zone"])).date()
    rows = rules.rank(accounts, tickets, revenue, today, weights)
    shown = rows[: weights.longest_list]
    await session.explain_all("priorities", [(row, row["reasons"]) for row in shown])
    sections = [letter(book["user"]["name"], len(ids), len(rows), shown)]
    silent = quiet_accounts(accounts, revenue, today, weights)
    await session.explain_all("quiet", [(row, row["reasons"]) for row in silent])
    sections += quiet_letter(silent, weights)
    await escalate(session, rules.to_escalate(accounts, tickets, revenue, today, weights))
    title = f"Priorities of {today.isoformat()}"
    await session.publish("priorities", {"priorities": shown, "quiet": silent}, title=title, kind="list")
    await tell(session, person, "\n\n".join(sections), title)
    found = {"priorities": [row["id"] for row in shown], "quiet": [row["id"] for row in silent]}
    return {"person": person, "accounts": len(ids), **found}


async def patiently(session, action, **args):
    """Read from a system. Where it does not answer, say so, and try again when somebody says so or time has passed."""
    for pause in (*PAUSES, None):
        try:
            return await session.call(action, **args)
        except session.Failed as trouble:
            if pause is None:
                raise
            question = f"The list of {session.input['person']} waits: {action} does not answer ({trouble}). Try again?"
            if await session.ask(question, choices=[AGAIN, LEAVE], timeout=pause, default=AGAIN) == LEAVE:
                raise
    raise AssertionError("the last try returns or raises")


async def escalate(session, tickets):
    """Have each ticket looked at by the agent that hands them up. The list does not wait for it."""
    for ticket in tickets:
        what = {"account_id": ticket["account_id"], "ticket_id": ticket["ticket_id"]}
        try:
            await session.delegate("escalation", what, title=f"Escalate {ticket['ticket_id']}", wait=False)
        except (session.Refused, session.Failed) as trouble:
            await session.emit("not_escalated", what, reasons=[str(trouble)])


async def tell(session, person, text, title):
    """Send it. Where that cannot be, the list is kept all the same, and the record says why nobody was told."""
    try:
        await session.tell(text, to=person, title=title)
    except (session.Refused, session.Failed) as trouble:
        await session.emit("not_told", {"person": person}, reasons=[str(trouble)])


def letter(name, accounts, needing, rows):
    """The list as its reader gets it."""
    if not rows:
        return f"Good morning {name}. None of your {accounts} accounts needs you today."
    lines = [f"Good morning {name}. {needing} of your {accounts} accounts need you; these come first:"]
    for place, row in enumerate(rows, 1):
        why = "; ".join(reason["text"] for reason in row["reasons"])
        lines.append(f"{place}. {row['name']} ({row['id']}, {row['points']} points): {why}")
    return "\n".join(lines)
