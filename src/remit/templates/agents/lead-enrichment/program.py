"""Fills in what contacts lack, from the company that their mail address belongs to.

Only empty fields are filled, and only where exactly one company has the address's domain. Addresses of mail providers
say nothing about a company and are left alone.
"""

from typing import Any

FILLED = ("company", "industry", "country", "employees")
PROVIDERS = {"gmail.com", "outlook.com", "yahoo.com", "icloud.com", "proton.me", "mail.test"}


async def run(session: Any) -> dict[str, Any]:
    """Look at each contact that fits the query, and put out what was done about it and why."""
    found = await session.call("hubspot.search_contacts", query=session.input.get("query", ""), limit=500)
    rows = []
    for contact in found["contacts"]:
        done, why = await enrich(session, contact)
        rows.append(({"id": contact["id"], "name": contact["name"], "done": done, "contact": contact}, [why]))
    await session.explain_all("contacts", rows)
    changed = [row["id"] for row, _ in rows if row["done"] == "filled"]
    report = "\n".join(f"- {row['name']}: {row['done']}, {why[0]}" for row, why in rows)
    await session.publish("enrichment", report or "No contact fits.", title="Contacts filled in", kind="report")
    return {"looked_at": len(rows), "filled": changed}


async def enrich(session: Any, contact: dict[str, Any]) -> tuple[str, str]:
    """Fill in one contact. Returns what was done and why."""
    missing = [name for name in FILLED if not contact.get(name)]
    domain = contact.get("email", "").rpartition("@")[2].lower()
    if not missing:
        return "nothing", "nothing is missing"
    if not domain or domain in PROVIDERS:
        return "nothing", f"the address says nothing about a company ({domain or 'none'})"
    companies = (await session.call("hubspot.search_companies", query=domain))["companies"]
    exact = [company for company in companies if company.get("domain", "").lower() == domain]
    if len(exact) != 1:
        return "nothing", f"{len(exact)} companies have the domain {domain}"
    known = {"company": exact[0]["name"], **{name: exact[0].get(name) for name in FILLED[1:]}}
    fields = {name: known[name] for name in missing if known[name]}
    if not fields:
        return "nothing", f"{exact[0]['name']} has nothing that is missing"
    try:
        await session.call(
            "hubspot.update_contact", contact_id=contact["id"], fields=fields, reason_=f"{domain} is {exact[0]['name']}"
        )
    except session.Refused as refused:
        return "refused", str(refused)
    return "filled", f"{', '.join(fields)} of {exact[0]['name']}, whose domain is {domain}"
