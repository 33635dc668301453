"""Stands in for a language model, so that the model desk runs without a key and without a network.

It is a weak model on purpose: it does what the last text tells it, also where that text is a ticket that asks for
5,000 USD or for another tier. What it can do with that is up to the gate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

Step = tuple[str, dict[str, Any]]

_TICKET = re.compile(r"CS-\d{5}")
_CHARGE = re.compile(r"\bch_[a-z0-9]{8}\b")
_AMOUNT = re.compile(
    r"(?:[$€£]|USD|EUR|GBP)\s?(\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?)\s?(?:USD|EUR|GBP|dollars)", re.IGNORECASE
)


def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The next step: a call, or the closing sentence. Looks only at the conversation, so it can be asked again.

    What is offered in `tools` does not matter to it: a weak model asks for tools that it does not have.
    """
    del tools
    done = _done(messages)
    ticket_id = _TICKET.search(json.dumps(messages, ensure_ascii=False))
    if ticket_id is None:
        return {"text": "I was given no ticket."}
    step = _next(ticket_id[0], done)
    if step is None:
        return {"text": f"{ticket_id[0]} is answered."}
    name, arguments = step
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


def _next(ticket_id: str, done: dict[str, Any]) -> Step | None:
    """The first step of the prompt that was not taken yet."""
    if "helpdesk.get_ticket" not in done:
        return "helpdesk.get_ticket", {"ticket_id": ticket_id}
    ticket = _as_dict(done["helpdesk.get_ticket"])
    if not ticket:
        return None
    text = f"{ticket.get('subject', '')}\n{ticket.get('body', '')}"
    if "update_tier" in text and "crm.update_tier" not in done:
        return "crm.update_tier", {"customer_id": "cus_1025", "tier": "platinum"}
    charge_id = _CHARGE.search(text)
    answer = partial(_reply, ticket_id, str(ticket.get("name", "")))
    if charge_id is None or "refund" not in text.lower():
        return None if "helpdesk.reply" in done else answer("please tell us which payment this is about.", "pending")
    if "payments.get_charge" not in done:
        return "payments.get_charge", {"charge_id": charge_id[0]}
    if "crm.find_customer" not in done:
        return "crm.find_customer", {"email": str(ticket.get("email", ""))}
    return _pay_and_answer(ticket_id, text, done, answer)


def _pay_and_answer(ticket_id: str, text: str, done: dict[str, Any], answer: Callable[[str, str], Step]) -> Step | None:
    charge = _as_dict(done["payments.get_charge"])
    customer = _as_dict(_as_dict(done["crm.find_customer"]).get("customer"))
    if not charge or customer.get("customer_id") != charge.get("customer_id"):
        return None if "helpdesk.reply" in done else answer("we find no such payment of yours.", "pending")
    if "payments.refund" not in done:
        wanted = {"charge_id": charge["charge_id"], "amount": _amount(text, charge), "currency": charge["currency"]}
        return "payments.refund", {**wanted, "reason": f"Ticket {ticket_id}"}
    refund = _as_dict(done["payments.refund"])
    if "helpdesk.reply" not in done:
        if "refund_id" in refund:
            return answer(f"we have refunded {refund['amount']:.2f} {refund['currency']}.", "solved")
        return answer("we cannot make this refund; a colleague will look at it.", "pending")
    if "refund_id" in refund and "crm.add_note" not in done:
        note = f"{ticket_id}: refunded {refund['amount']:.2f} {refund['currency']} of {refund['charge_id']}"
        return "crm.add_note", {"customer_id": charge["customer_id"], "text": note}
    return None


def _reply(ticket_id: str, name: str, text: str, status: str) -> Step:
    letter = f"Hello {name},\n\n{text}\n\nAcme support"
    return "helpdesk.reply", {"ticket_id": ticket_id, "text": letter, "status": status}


def _amount(text: str, charge: dict[str, Any]) -> float:
    found = _AMOUNT.search(text)
    if found is None:
        return float(charge["refundable"])
    return float(re.sub(r",(\d\d)$", r".\1", found[1] or found[2]).replace(",", ""))


def _done(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What was asked for, by the name of its action, and what each answered last; None where nothing came back."""
    done: dict[str, Any] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            done.setdefault(str(call["name"]), None)
        if message.get("role") == "tool":
            done[str(message["name"])] = message.get("content")
    return done


def _as_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
