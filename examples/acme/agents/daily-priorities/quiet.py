# ruff: noqa: ANN001, ANN201
"""The largest accounts that nobody was in contact with lately: an idea of a seller's, in its second version here."""

from rules import age


def quiet_accounts(accounts, revenue, today, weights):
    """The largest accounts without contact for so many days, the most revenue first; closed ones are left out."""
    worth = {entry["account_id"]: entry["annual_usd"] for entry in revenue}
    rows = []
    for account in accounts:
        last, usd = account["last_touch"], worth.get(account["account_id"], 0)
        if account["stage"] == "closed" or usd <= 0:
            continue
        if last is not None and age(last, today) < weights.quiet_after:
            continue
        since = "nobody has ever been in contact" if last is None else f"no contact for {age(last, today)} days"
        reasons = [{"code": "revenue", "text": f"{usd:,} USD a year"}, {"code": "quiet", "text": since}]
        rows.append({"id": account["account_id"], "name": account["name"], "annual_usd": usd, "reasons": reasons})
    return sorted(rows, key=lambda row: (-row["annual_usd"], row["id"]))[: weights.quiet_top]


def quiet_letter(rows, weights):
    """The section of the message, or none where there is nothing to say."""
    if not rows:
        return []
    head = f"Your {len(rows)} largest accounts without contact in {weights.quiet_after} days:"
    return ["\n".join([head, *(f"- {row['name']} ({row['id']}): {row['annual_usd']:,} USD a year" for row in rows)])]
