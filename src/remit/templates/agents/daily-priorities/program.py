"""Ranks somebody's open deals for the day.

A deal gets points for its size, for having been left alone, and for closing soon. What counts how much stands in
parameters.yaml. Every place in the list carries its points and why it has them.
"""

from datetime import date
from typing import Any

ENDED = ("won", "lost")
QUIET_POINTS = 30
CLOSING_POINTS = 40


async def run(session: Any) -> dict[str, Any]:
    """Rank them, best first, and publish the list."""
    owner = session.input["owner"]
    today = date.fromisoformat(session.input.get("today") or session.now().date().isoformat())
    deals = (await session.call("hubspot.list_deals", owner=owner, limit=1000))["deals"]
    scored = [scored_deal(session, deal, today) for deal in deals if deal["stage"] not in ENDED]
    scored.sort(key=lambda row: (-row["points"], row["key"]))
    best = scored[: session.parameters.length]
    await session.explain_all("priorities", [(row, row["why"]) for row in best])
    lines = [f"{place}. {row['title']}: {'; '.join(row['why'])}" for place, row in enumerate(best, 1)]
    title = f"Priorities of {owner} for {today.isoformat()}"
    await session.publish(f"priorities of {owner}", "\n".join(lines) or "Nothing is open.", title=title, kind="list")
    return {"owner": owner, "first": best[0]["key"] if best else None, "deals": len(best)}


def scored_deal(session: Any, deal: dict[str, Any], today: date) -> dict[str, Any]:
    """A deal with its points, and a reason for each of them."""
    points = session.parameters.points_for_thousand * deal["amount"] // 1000
    why = [f"{deal['amount']} gives {points} points"]
    quiet = (today - date.fromisoformat(deal["last_touch"])).days
    if quiet > session.parameters.quiet_days:
        points += QUIET_POINTS
        why.append(f"nobody has touched it for {quiet} days: {QUIET_POINTS} points")
    left = (date.fromisoformat(deal["close_date"]) - today).days
    if left < 0:
        points += CLOSING_POINTS
        why.append(f"it was to close {-left} days ago: {CLOSING_POINTS} points")
    elif left <= session.parameters.closing_days:
        points += CLOSING_POINTS
        why.append(f"it is to close in {left} days: {CLOSING_POINTS} points")
    return {"key": deal["id"], "title": deal["name"], "points": points, "why": why, "deal": deal}
