# ruff: noqa: ANN001, ANN003, ANN201, ANN204
"""The refund desk: reads one ticket, decides by plain rules, refunds, answers.

What it may do is not decided here: every `session.call` goes to the gate, which permits it, refuses it, or asks a
person first, while the program waits at that line. What stands here is the desk's own judgement.
"""

from datetime import date

from reading import amounts, asks_for_refund, charges, clean, money, turned

DAYS_TO_ASK = 180

ANSWERS = {
    "no_charge_given": "please tell us the reference of the payment, which begins with ch_.",
    # The same words for a wrong reference and for somebody else's: a stranger must not learn which payments exist.
    "not_yours": "we find no payment {charge_id} of yours; please check the reference, and write from your address.",
    "too_old": "refunds are possible for {limit} days, and your purchase was {days} days ago.",
    "declined_by_person": "a colleague has looked at your request; we cannot refund this.",
    "already_refunded": "this payment has been refunded in full, {paid}.",
    "other_currency": "you paid {paid}; which amount in that currency do you mean?",
    "more_than_charged": "you paid {paid}, and we cannot refund more than that.",
    "more_than_left": "part of this payment has been refunded before; {left} is left.",
    "duplicate_ticket": "we answer this under {other}.",
    "refused": "we cannot make this refund. If you reply, a colleague looks at it.",
}


class Declined(Exception):
    """No refund. `code` is for the record; `wording` names the answer, and without one a colleague takes over."""

    def __init__(self, code, wording=None, **facts):
        self.code, self.answer = code, ANSWERS.get(wording or code, "").format(**facts)


async def run(session):
    """Handle the ticket that the session starts with."""
    ticket = await session.call("helpdesk.get_ticket", ticket_id=session.input["ticket_id"])
    try:
        charge, wanted = await judge(session, ticket)
        refund = await pay(session, ticket, charge, wanted)
    except Declined as no:
        return await decline(session, ticket, no)
    await answer(session, ticket, f"we have refunded {wanted}. It takes up to five working days to arrive.", "solved")
    note = f"{ticket['ticket_id']}: refunded {wanted} of {charge['charge_id']}"
    await afterwards(session, "crm.add_note", customer_id=charge["customer_id"], text=note)
    result = {"outcome": "refunded", "amount": f"{wanted.amount:.2f}", "currency": wanted.currency}
    return {**result, "charge_id": charge["charge_id"], "refund_id": refund["refund_id"]}


async def judge(session, ticket):
    """The charge and the money to give back. Raises Declined with the first rule that says no."""
    text = clean(f"{ticket['subject']}\n{ticket['body']}")
    if not asks_for_refund(text):
        raise Declined("not_a_refund")
    charge = await find_charge(session, ticket, text)
    wanted = await find_amount(session, ticket, charge, text)
    check_rules(ticket, charge, wanted)
    await check_not_twice(session, ticket, charge, wanted)
    asked = f"customer {charge['customer_id']} paid charge {charge['charge_id']} and asks for {wanted} back"
    left = (
        f"{money(charge, 'refundable')} of {money(charge, 'amount')} is left, and no earlier ticket asks for the same"
    )
    decision = {"decision": "refund", "charge_id": charge["charge_id"], "amount": str(wanted)}
    await session.emit("decision", decision, reasons=[asked, left])
    return charge, wanted


async def find_charge(session, ticket, text):
    """The one charge that the ticket names, paid by its sender; a person chooses where it names several."""
    ids = charges(text)
    if not ids:
        raise Declined("no_charge_given")
    charge_id = ids[0] if len(ids) == 1 else await choose(session, "several charges. Which one is to be refunded?", ids)
    try:
        charge = await session.call("payments.get_charge", charge_id=charge_id)
    except session.Failed as failed:
        if "no charge" not in str(failed):
            raise
        raise Declined("charge_not_found", "not_yours", charge_id=charge_id) from None
    sender = (await session.call("crm.find_customer", email=ticket["email"]))["customer"]
    if sender is None or sender["customer_id"] != charge["customer_id"]:
        raise Declined("not_the_customer", "not_yours", charge_id=charge_id)
    return charge


async def find_amount(session, ticket, charge, text):
    """What is asked for; all that is left where no amount is named; a person says where it is unclear."""
    found = {str(amount): amount for amount in amounts(text)}
    if not found:
        return money(charge, "refundable")
    disguised = turned(ticket["body"])
    if len(found) == 1 and not disguised:
        return next(iter(found.values()))
    why = "an amount in text that shows in another order" if disguised else "several amounts"
    return found[await choose(session, f"{why}. How much is to be refunded?", list(found))]


async def choose(session, question, choices):
    """Ask a person. `none` declines the ticket."""
    chosen = await session.ask(f"The ticket names {question}", choices=[*choices, "none"])
    if chosen == "none":
        raise Declined("declined_by_person")
    return chosen


def check_rules(ticket, charge, wanted):
    """Not too late, and no more than is left. Dates are the ticket's and the charge's: judged alike on any day."""
    days = (date.fromisoformat(ticket["created_at"][:10]) - date.fromisoformat(charge["created_at"][:10])).days
    paid, left = money(charge, "amount"), money(charge, "refundable")
    rules = {
        "too_old": days > DAYS_TO_ASK,
        "already_refunded": left.amount == 0,
        "other_currency": wanted.currency != paid.currency,
        "more_than_charged": wanted.amount > paid.amount,
        "more_than_left": wanted.amount > left.amount,
    }
    for code, broken in rules.items():
        if broken:
            raise Declined(code, paid=paid, left=left, days=days, limit=DAYS_TO_ASK)


async def check_not_twice(session, ticket, charge, wanted):
    """An older ticket of the same customer, about the same charge and amount, is the one that counts."""
    for other in (await session.call("helpdesk.find_tickets", text=charge["charge_id"]))["tickets"]:
        older = (other["created_at"], other["ticket_id"]) < (ticket["created_at"], ticket["ticket_id"])
        if older and other["email"].lower() == ticket["email"].lower():
            earlier = await session.call("helpdesk.get_ticket", ticket_id=other["ticket_id"])
            if wanted in amounts(clean(f"{earlier['subject']}\n{earlier['body']}")):
                raise Declined("duplicate_ticket", other=other["ticket_id"])


async def pay(session, ticket, charge, wanted):
    """Give the money back. Where that takes a person's approval, the program waits here, for days if need be."""
    why = f"{ticket['ticket_id']}: {ticket['name']} asks for {wanted} of {money(charge, 'amount')}; every rule is met."
    call = {"charge_id": charge["charge_id"], "amount": wanted.amount, "currency": wanted.currency}
    try:
        return await session.call("payments.refund", **call, reason=f"Ticket {ticket['ticket_id']}", reason_=why)
    except session.Refused as refused:
        raise Declined(refused.reasons[-1]["code"], "refused") from None
    except (session.Failed, session.Unknown):
        raise Declined("refund_not_made") from None


async def decline(session, ticket, no):
    """Tell the customer, or leave the ticket open for a colleague where there is nothing to tell."""
    why = no.answer or f"Refund desk: {no.code}, a colleague takes over."
    await session.emit("decision", {"decision": "decline", "reason": no.code}, reasons=[why])
    if no.answer:
        await answer(session, ticket, why, "pending")
    else:
        await afterwards(session, "helpdesk.add_note", ticket_id=ticket["ticket_id"], text=why)
    return {"outcome": "declined", "reason": no.code}


async def answer(session, ticket, text, status):
    """Reply in the ticket's own thread."""
    letter = f"Hello {ticket['name']},\n\n{text}\n\nAcme support"
    await afterwards(session, "helpdesk.reply", ticket_id=ticket["ticket_id"], text=letter, status=status)


async def afterwards(session, action, **arguments):
    """Do what follows a decision. What cannot be done is recorded; it does not take the decision back."""
    try:
        await session.call(action, **arguments)
    except (session.Refused, session.Failed, session.Unknown) as trouble:
        await session.emit("left_undone", {"action": action}, reasons=[str(trouble)])
