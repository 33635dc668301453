# ruff: noqa: ANN001, ANN201
"""Enters what a seller says they did. Which account they mean is matched by name; where two fit, they are asked."""

from zoneinfo import ZoneInfo

from words import kind_of, names_of, phrase_of

SURE = 0.85
"""A name that fits less well than this is not taken without asking."""
APART = 0.08
"""The best must fit better than the second by so much; else both may be meant."""
OFFERED = 5
"""Accounts that are offered where the name is not clear."""
NONE = "none"


async def run(session):
    """Read the sentence, find the account, enter the activity."""
    person, text = session.person, session.input["text"]
    book = await session.call("crm.list_accounts", as_user=person)
    account = await find(session, person, phrase_of(text), book["accounts"])
    if account is None:
        return {"outcome": "not_logged", "reason": "no_account"}
    today = session.now().astimezone(ZoneInfo(book["user"]["time_zone"])).date().isoformat()
    entry = {"as_user": person, "account_id": account["account_id"], "kind": kind_of(text), "on_date": today}
    try:
        logged = await session.call("crm.log_activity", **entry, text=text, reason_=f"{person} said so")
    except session.Refused as refused:
        return {"outcome": "refused", "reason": refused.reasons[-1]["code"]}
    return {
        "outcome": "logged",
        "account_id": account["account_id"],
        "account": account["name"],
        "kind": logged["kind"],
        "activity_id": logged["activity_id"],
    }


async def find(session, person, phrase, accounts):
    """The account that is meant, or None. A person who has picked one for this name is not asked for it again."""
    known = {account["account_id"]: account for account in accounts}
    candidates = [{"id": account_id, "names": names_of(account)} for account_id, account in known.items()]
    found = (await session.call("remit.match", query=phrase, candidates=candidates, limit=OFFERED))["matches"]
    if not found:
        return None
    best = found[0]
    close = [match for match in found if match["score"] >= best["score"] - APART]
    if best["score"] >= SURE and len(close) == 1:
        return known[best["id"]]
    offered = [known[match["id"]] for match in (close if best["score"] >= SURE else found)]
    chosen = await session.ask(
        f"Which account do you mean by “{phrase}”?",
        choices=[*map(record, offered), {"id": NONE, "title": "None of these"}],
        to=person,
        confidence=best["score"] / max(1, len(close)),
        remember=f"account called {phrase.casefold()}"[:200],
        scope="person",
        subject=person,
    )
    return known.get(chosen)


def record(account):
    """An account as it is offered."""
    last = account["last_touch"] or "never"
    title = f"{account['name']} ({account['account_id']})"
    return {"id": account["account_id"], "title": title, "country": account["country"], "last contact": last}
