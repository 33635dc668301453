"""Reads a ticket that asks for money back, decides by plain rules, refunds, answers.

What it may do is not decided here: every `session.call` goes to the gate, which permits it, refuses it, or first asks
a person, while the program waits at that line.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Any

CHARGE = re.compile(r"\bch_[a-z0-9]+\b")
AMOUNT = re.compile(r"\b(\d+(?:\.\d{1,2})?)\s?(USD|EUR|GBP)\b", re.IGNORECASE)
ASKS = re.compile(r"refund|money back|reimburse", re.IGNORECASE)


class Declined(Exception):
    """No refund, for this reason."""


async def run(session: Any) -> dict[str, Any]:
    """Handle the ticket that the session starts with."""
    ticket = (await session.call("zendesk.get_ticket", ticket_id=session.input["ticket_id"]))["ticket"]
    try:
        charge, amount = await judge(session, ticket)
        made = await pay(session, ticket, charge, amount)
    except Declined as no:
        await session.explain({"key": ticket["id"], "decision": "declined"}, [str(no)], sources=[ticket])
        await answer(session, ticket, f"we cannot refund this: {no}.", "pending")
        return {"outcome": "declined", "reason": str(no)}
    await answer(session, ticket, f"we have refunded {amount} {charge['currency']}.", "solved")
    return {"outcome": "refunded", "amount": str(amount), "refund": made["refund"]["id"]}


async def judge(session: Any, ticket: dict[str, Any]) -> tuple[dict[str, Any], Decimal]:
    """The charge and what to give back. Raises Declined with the first rule that says no."""
    text = f"{ticket['subject']} {ticket['body']}"
    charges = sorted(set(CHARGE.findall(text)))
    if not ASKS.search(text):
        raise Declined("the ticket does not ask for a refund")
    if len(charges) != 1:
        raise Declined(f"the ticket names {len(charges)} payments, and it has to be one")
    try:
        charge = (await session.call("stripe.get_charge", charge_id=charges[0]))["charge"]
    except session.Failed:
        raise Declined("we find no such payment of yours") from None
    customers = (await session.call("stripe.find_customers", query=ticket["email"]))["customers"]
    if charge["customer"] not in {customer["id"] for customer in customers}:
        raise Declined("we find no such payment of yours")
    named = AMOUNT.search(text)
    amount = Decimal(named[1]) if named else Decimal(str(charge["refundable"]))
    days = (date.fromisoformat(ticket["created_at"][:10]) - date.fromisoformat(charge["created_at"][:10])).days
    rules = {
        "it is too late": days > session.parameters.days_to_ask,
        "you paid in another currency": named is not None and named[2].upper() != charge["currency"],
        "that is more than is left of the payment": amount > charge["refundable"],
        "there is nothing to give back": amount <= 0,
    }
    for why, broken in rules.items():
        if broken:
            raise Declined(why)
    reasons = [f"paid by {ticket['email']} {days} days before", f"{charge['refundable']} of it is left"]
    decision = {"key": ticket["id"], "decision": "refund", "amount": str(amount)}
    await session.explain(decision, reasons, sources=[ticket, charge])
    return charge, amount


async def pay(session: Any, ticket: dict[str, Any], charge: dict[str, Any], amount: Decimal) -> Any:
    """Give the money back. Where that takes a person's approval, the program waits here, for days if need be."""
    asked = {"charge_id": charge["id"], "amount": amount, "currency": charge["currency"]}
    try:
        return await session.call("stripe.create_refund", **asked, reason_=f"{ticket['id']}: every rule is met")
    except session.Refused as refused:
        raise Declined("a colleague has to look at it") from refused


async def answer(session: Any, ticket: dict[str, Any], text: str, status: str) -> None:
    """Answer in the ticket's own thread, and move it along."""
    await session.call("zendesk.reply", ticket_id=ticket["id"], body=f"Hello,\n\n{text}")
    await session.call("zendesk.update_ticket", ticket_id=ticket["id"], fields={"status": status})
