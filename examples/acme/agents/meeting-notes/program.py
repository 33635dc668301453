# ruff: noqa: ANN001, ANN201
"""Meeting notes: finds client meetings in an approved mailbox, drafts notes, and brings them into the CRM.

Where it is not sure which account a meeting belongs to, it asks whose mailbox it is. The answer can be remembered, and
then nobody is asked again. Which mailboxes it may read is not decided here, but by policies/meetings.cedar.
"""

from datetime import datetime, timedelta

from mapping import account_of, deal_of
from meetings import draft, not_a_client_meeting, related


async def run(session):
    """Handle the meetings of one mailbox between two moments."""
    mailbox, span = session.input["mailbox"], between(session.input)
    try:
        events = (await session.call("mailbox.list_events", mailbox=mailbox, **span))["events"]
    except session.Refused as refused:
        return {"mailbox": mailbox, "refused": refused.reasons[-1]["code"]}
    messages = (await session.call("mailbox.list_messages", mailbox=mailbox, **span))["messages"]
    accounts = (await session.call("crm.list_account_names"))["accounts"]
    counts = {"noted": 0, "skipped": 0}
    for event in events:
        why_not = not_a_client_meeting(event, mailbox) or await already(session, event)
        if not why_not:
            why_not = await note(session, event, related(event, messages), accounts)
        counts["skipped" if why_not else "noted"] += 1
        if why_not:
            row = {"event": event["event_id"], "title": event["title"], "outcome": "skipped"}
            await session.emit("meeting", row, reasons=[why_not])
    return {"mailbox": mailbox, **counts}


def between(given):
    """The moments between which meetings are looked for; by default a day and a bit, so that none falls in between."""
    before = given["before"]
    day = datetime.fromisoformat(before) - timedelta(hours=26)
    return {"after": given.get("after") or day.strftime("%Y-%m-%dT%H:%M:%SZ"), "before": before}


async def already(session, event):
    """Whether a colleague's mailbox, or an earlier run, has brought this meeting into the CRM."""
    found = await session.call("crm.find_meeting", meeting_id=event["event_id"])
    return f"account {found['meeting']['account_id']} has its notes already" if found["meeting"] else ""


async def note(session, event, mails, accounts):
    """Draft the notes and bring them into the CRM. Returns why that was not done, or nothing."""
    account = await account_of(session, event, mails, accounts)
    if account is None:
        return "it belongs to no account"
    deal = await deal_of(session, event, account["account_id"])
    text = draft(event, mails)
    await session.publish(
        event["event_id"],
        {"text": text, "account": account["account_id"], "deal": deal["deal_id"] if deal else None},
        title=f"Notes: {event['title']}",
        kind="draft",
    )
    why = f"{event['title']} belongs to {account['name']}: {account['why']}"
    where = {"account_id": account["account_id"], "deal_id": deal["deal_id"] if deal else None}
    try:
        await session.call("crm.add_meeting", meeting_id=event["event_id"], text=text, **where, reason_=why)
    except session.Refused as refused:
        return "; ".join(reason["text"] for reason in refused.reasons)
    reasons = [account["why"], deal["why"] if deal else "no open deal fits"]
    row = {"event": event["event_id"], "title": event["title"], "outcome": "noted", **where}
    await session.emit("meeting", {**row, "confidence": account["confidence"]}, reasons=reasons)
    return ""
