# ruff: noqa: ANN001, ANN201
"""Finds agreements that stand still in what was said in calls. Rules on text; what a caller says is never an order."""

import re
from datetime import timedelta

ABOUT = re.compile(r"\b(agreement|contract|renewal)\b", re.IGNORECASE)
"""A sentence has to be about this, or stand beside one that is."""
STALLED = re.compile(
    r"\b(nothing has moved|on hold|stuck with|still has it|waiting for the budget|not come back to us)\b", re.IGNORECASE
)
"""Words of standing still."""
MOVING = re.compile(r"\b(is signed|went through|is fine|all good|has been signed)\b", re.IGNORECASE)
"""A call that says this is not about an agreement that stands still."""
LONGEST_QUOTE = 160


async def run(session):
    """Read the calls of the last days, and flag the accounts whose agreement stands still."""
    since = (session.now().date() - timedelta(days=session.input["days"])).isoformat()
    calls = (await session.call("transcripts.list_calls", since=since))["calls"]
    flagged, nobodys = [], []
    for call in calls:
        quote = stalled(call["text"])
        if quote is None:
            continue
        if call["account_id"] is None:
            nobodys.append(call["call_id"])
            continue
        what = {"account_id": call["account_id"], "call_id": call["call_id"]}
        try:
            await session.call("crm.flag_agreement", **what, since=call["on_date"], quote=quote)
        except (session.Refused, session.Failed) as trouble:
            await session.emit("not_flagged", what, reasons=[str(trouble)])
            continue
        await session.emit("stalled", what, reasons=[{"code": "stalled_agreement", "text": quote}])
        flagged.append(call["account_id"])
    return {"calls": len(calls), "flagged": flagged, "of_nobody": nobodys}


def stalled(text):
    """The sentence that says that an agreement stands still, or None."""
    if MOVING.search(text):
        return None
    sentences = re.split(r"(?<=[.;?!])\s+", " ".join(text.split()))
    for place, sentence in enumerate(sentences):
        near = " ".join(sentences[max(0, place - 1) : place + 2])
        if STALLED.search(sentence) and ABOUT.search(near):
            return sentence[:LONGEST_QUOTE]
    return None
