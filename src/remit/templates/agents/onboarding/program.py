"""Prepares everything for a new colleague: one issue for each thing that has to be done, and a word to the team.

It can be run again for the same person: what is there already is not opened twice.
"""

from datetime import date, timedelta
from typing import Any

EVERYBODY = (
    ("Laptop", "it", "everybody works on one"),
    ("Accounts for mail and chat", "it", "nobody can be reached without them"),
    ("Plan for the first week", "manager", "the first days decide whether somebody feels expected"),
)
BY_ROLE = {
    "engineering": (("Access to the source", "it", "engineers read it on the first day"),),
    "sales": (("Seat in the CRM", "sales-operations", "accounts are handed over there"),),
    "office": (("Key to the office", "office", "the office opens before most colleagues come"),),
}
CHANNEL = "C03"


async def run(session: Any) -> dict[str, Any]:
    """Open what is missing, and tell the team once everything is."""
    given = session.input
    due = (date.fromisoformat(given["starts"]) - timedelta(days=int(session.parameters.days_before))).isoformat()
    rows = []
    for what, who, why in (*EVERYBODY, *BY_ROLE[given["role"]]):
        summary = f"{what} for {given['name']}"
        known = await session.call("jira.search_issues", query=summary, project=session.parameters.project)
        issue = known["issues"][0] if known["issues"] else await open_issue(session, summary, who, due)
        said = "it is there already" if known["issues"] else f"{who} does it by {due}"
        rows.append(({"key": issue["id"], "title": summary, "assignee": who, "issue": issue}, [why, said]))
    await session.explain_all("checklist", rows)
    opened = [row["key"] for row, reasons in rows if reasons[1] != "it is there already"]
    if opened:
        text = f"{given['name']} ({given['role']}) starts on {given['starts']}. {len(opened)} things are on their way."
        await session.call("slack.post_message", channel=CHANNEL, text=text)
    return {"opened": opened, "there_already": len(rows) - len(opened)}


async def open_issue(session: Any, summary: str, who: str, due: str) -> Any:
    """Open one issue."""
    made = await session.call(
        "jira.create_issue",
        project=session.parameters.project,
        type="Task",
        summary=summary,
        assignee=who,
        due=due,
        labels=["onboarding"],
    )
    return made["issue"]
