# ruff: noqa: ANN001, ANN201
"""Which account and which deal a meeting belongs to, and how sure that is."""

from meetings import SHARED_DOMAINS, domain, guests

SURE = 0.85
"""Below this confidence a person is asked."""
APART = 0.1
"""The best has to be better than the second by this much."""
POSSIBLE = 0.5
"""What is less alike than this is not even offered."""
MOST_CHOICES = 8


async def account_of(session, event, accounts):
    """The account with `confidence` and `why`; None: it belongs to none.

    The domain of those who came counts first, then names, then what a colleague says or said before. Raises
    session.Refused if a person was to be asked and nobody answered.
    """
    by_id = {account["account_id"]: account for account in accounts}
    found = by_domain(event, accounts)
    if len(found) == 1:
        return chosen(found[0], 0.97, f"{found[0]['name']} is the only account with that domain")
    scored = await by_name(session, event, found or accounts)
    best, second = [*scored, (0.0, None), (0.0, None)][:2]
    if not found and best[0] < POSSIBLE:
        return None  # neither domain nor name is known: no client as far as the CRM knows
    if best[0] >= SURE and best[0] - second[0] >= APART:
        return chosen(best[1], best[0], f"its title names {best[1]['name']}")
    return await ask(session, event, found or [a for _, a in scored[:MOST_CHOICES]], best[0], by_id)


def memory_key(event):
    """What an answer is remembered under: whom the meeting was with, which says more than its title."""
    return "account of " + ", ".join(sorted({a["email"].lower() for a in guests(event)}))


def by_domain(event, accounts):
    """Accounts that have the domain of somebody who came."""
    domains = {domain(a["email"]) for a in guests(event)} - set(SHARED_DOMAINS)
    return [account for account in accounts if domains & set(account["domains"])]


async def by_name(session, event, accounts):
    """Accounts by how well the title fits their name, best first."""
    names = {account["account_id"]: [account["name"]] for account in accounts}
    by_id = {account["account_id"]: account for account in accounts}
    matches = await session.match(event["title"], names, limit=MOST_CHOICES)
    return [(match["score"], by_id[match["id"]]) for match in matches]


async def ask(session, event, choices, confidence, by_id):
    """Ask whose mailbox it is, unless that was remembered; `none` is an answer too."""
    rows = [{"id": a["account_id"], "title": a["name"], "details": ", ".join(a["domains"])} for a in choices]
    answer = await session.ask(
        f"Which account does the meeting “{event['title']}” with {names(event)} belong to?",
        choices=[*rows, {"id": "none", "title": "None of these"}],
        to=session.input["owner"],
        context={"title": event["title"], "start": event["start"], "with": names(event)},
        confidence=confidence,
        remember=memory_key(event),
    )
    return None if answer == "none" else chosen(by_id[answer], 1.0, "a colleague says so")


async def deal_of(session, event, account_id):
    """The account's open deal that the meeting is about, with `why`; None where none fits."""
    deals = (await session.call("crm.list_deals", account_id=account_id))["deals"]
    still_open = [deal for deal in deals if deal["status"] == "open"]
    if len(still_open) == 1:
        return {**still_open[0], "why": f"{still_open[0]['title']} is the only open deal"}
    matches = (
        await session.match(event["title"], {d["deal_id"]: [d["title"]] for d in still_open}) if still_open else []
    )
    if matches and matches[0]["score"] >= POSSIBLE:
        deal = next(d for d in still_open if d["deal_id"] == matches[0]["id"])
        return {**deal, "why": f"the title fits {deal['title']} best"}
    return None


def chosen(account, confidence, why):
    """An account with how sure it is, and why."""
    return {**account, "confidence": round(confidence, 2), "why": why}


def names(event):
    """Who came from outside, for reading."""
    return ", ".join(f"{a['name']} ({a['email']})" for a in guests(event))
