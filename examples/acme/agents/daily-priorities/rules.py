# ruff: noqa: ANN001, ANN201
"""The rules of the daily list, as plain functions: from what the systems say to rows in order, with reasons.

`weights` are the agent's parameters, by name.
"""

from collections import defaultdict
from datetime import date

LARGE = "A"
"""The tier whose urgent tickets go up."""


def rank(accounts, tickets, revenue, today, weights):
    """Rows that need somebody, best first. Closed accounts and those with nothing but their size are left out."""
    of = defaultdict(list)
    for ticket in tickets:
        of[ticket["account_id"]].append(ticket)
    worth = {entry["account_id"]: entry for entry in revenue}
    rows = []
    for account in accounts:
        if account["stage"] == "closed":
            continue
        row = judge(account, of[account["account_id"]], worth.get(account["account_id"]), today, weights)
        if row is not None:
            rows.append(row)
    note_twins(rows)
    return sorted(rows, key=order)


def order(row):
    """The most points first; then the larger account; then by id, so that equals stay in place."""
    return (-row["points"], -row["annual_usd"], row["id"])


def judge(account, tickets, worth, today, weights):
    """One account's row, or None where nothing speaks for it today."""
    reasons = [*waiting_tickets(tickets, today, weights), *agreement(account, today, weights)]
    reasons += [*next_step(account, today, weights), *quiet(account, today, weights)]
    if not reasons:
        return None
    tier = worth["tier"] if worth else None
    if tier:
        points = {"A": weights.tier_a, "B": weights.tier_b, "C": weights.tier_c}[tier]
        reasons.append((f"tier_{tier.lower()}", f"tier {tier}: {worth['annual_usd']:,} USD a year", points))
    return {
        "id": account["account_id"],
        "name": account["name"],
        "tier": tier or "none",
        "annual_usd": worth["annual_usd"] if worth else 0,
        "points": sum(points for _, _, points in reasons),
        "reasons": [{"code": code, "text": f"{text} (+{points})"} for code, text, points in reasons],
    }


def waiting_tickets(tickets, today, weights):
    """Tickets that nobody has answered: each urgent one by how long it waits, the others together."""
    others = 0
    for ticket in tickets:
        if ticket["answered_on"] is not None:
            continue
        if ticket["priority"] != "urgent":
            others += 1
            continue
        days = age(ticket["opened_on"], today)
        points = weights.urgent + min(days * weights.urgent_a_day, weights.urgent_most)
        yield "urgent_ticket", f"urgent ticket {ticket['ticket_id']} has no answer for {days} days", points
    if others:
        said = "1 ticket has" if others == 1 else f"{others} tickets have"
        yield "tickets", f"{said} no answer", min(others * weights.ticket, weights.tickets_most)


def agreement(account, today, weights):
    """Agreements that were flagged because of what was said in a call."""
    for flag in account["flags"]:
        days = age(flag["since"], today)
        yield "stalled_agreement", f'agreement stalled for {days} days: "{flag["quote"]}"', weights.stalled


def next_step(account, today, weights):
    """A deal whose next step should have been taken."""
    due = account["next_step_on"]
    if due is not None and age(due, today) > 0:
        yield "overdue_step", f"the next step of a deal was due {age(due, today)} days ago", weights.overdue


def quiet(account, today, weights):
    """Nobody was in contact for long, or ever."""
    if account["last_touch"] is None:
        yield "never_touched", "nobody has ever been in contact", weights.never_touched
        return
    over = age(account["last_touch"], today) - weights.quiet_after
    if over >= 0:
        points = min((over + 1) * weights.quiet_a_day, weights.quiet_most)
        yield "untouched", f"no contact for {over + weights.quiet_after} days", points


def note_twins(rows):
    """Say where two rows seem to be the same company: a person looks, nothing is merged."""
    seen = {}
    for row in rows:
        bare = "".join(c for c in row["name"].casefold() if c.isalnum())
        twin = seen.setdefault(bare, row)
        if twin is not row:
            row["reasons"].append({"code": "maybe_twice", "text": f"may be the same company as {twin['id']} (+0)"})


def to_escalate(accounts, tickets, revenue, today, weights):
    """Urgent tickets of large accounts that wait for too long, and that nobody has handed up yet."""
    tiers = {entry["account_id"]: entry["tier"] for entry in revenue}
    known = {account["account_id"]: account for account in accounts if account["stage"] != "closed"}
    return [
        ticket
        for ticket in tickets
        if ticket["account_id"] in known
        and tiers.get(ticket["account_id"]) == LARGE
        and ticket["ticket_id"] not in known[ticket["account_id"]]["escalated"]
        and must_go_up(ticket, today, weights)
    ]


def must_go_up(ticket, today, weights):
    """True for an urgent ticket that nobody has answered for so many days."""
    waits = ticket["answered_on"] is None and ticket["priority"] == "urgent"
    return waits and age(ticket["opened_on"], today) >= weights.escalate_after


def age(day, today):
    """Whole days from a day, written YYYY-MM-DD, until today."""
    return (today - date.fromisoformat(day)).days
