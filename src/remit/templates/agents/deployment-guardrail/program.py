"""Decides whether a commit may be deployed.

A commit is held back by a check that failed or is not there, and by an open issue labelled as a blocker. Every rule
that was looked at is put out with its reason, so that "why is it held back?" has an answer.
"""

from typing import Any

BLOCKER = "blocker"


async def run(session: Any) -> dict[str, Any]:
    """Look at the rules, let it be deployed or hold it back, and tell the channel."""
    asked = session.input
    place = {"repository": asked["repository"], "commit": asked["commit"]}
    checks = (await session.call("github.list_checks", **place))["checks"]
    issues = await session.call("github.list_issues", repository=asked["repository"], state="open", labels=BLOCKER)
    required = [name.strip() for name in session.parameters.required_checks.split(",") if name.strip()]
    rules = [*rules_of_checks(checks, required), rule_of_issues(issues["issues"])]
    await session.explain_all("rules", [(rule, [rule["why"]]) for rule in rules])
    broken = [rule for rule in rules if not rule["holds"]]
    result = await hold_back(session, broken) if broken else await let_go(session, asked)
    said = f"{asked['repository']}@{asked['commit']} to {asked['environment']}: {result['outcome']}. {result['why']}"
    await session.call("slack.post_message", channel=session.parameters.channel, text=said)
    return result


def rules_of_checks(checks: list[dict[str, Any]], required: list[str]) -> list[dict[str, Any]]:
    """Every check that has to be there, and every other one that is there, has passed."""
    found = {check["name"]: check for check in checks}
    rules = []
    for name in dict.fromkeys([*required, *found]):
        said = found.get(name, {}).get("conclusion", "missing")
        rules.append({"key": name, "holds": said == "success", "why": f"{name} is {said}", "check": found.get(name)})
    return rules


def rule_of_issues(issues: list[dict[str, Any]]) -> dict[str, Any]:
    """No open issue is a blocker."""
    named = ", ".join(issue["title"] for issue in issues)
    why = f"open blockers: {named}" if issues else "no open issue is a blocker"
    return {"key": "blockers", "holds": not issues, "why": why, "issues": issues}


async def hold_back(session: Any, broken: list[dict[str, Any]]) -> dict[str, Any]:
    """Say which rules do not hold."""
    why = "; ".join(rule["why"] for rule in broken)
    await session.emit("decision", "held back", reasons=[why])
    return {"outcome": "held back", "why": why}


async def let_go(session: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Let it be deployed. For production the program waits here for a person's approval."""
    try:
        made = await session.call("github.create_deployment", **asked, reason_="every rule holds")
    except session.Refused as refused:
        await session.emit("decision", "refused", reasons=refused.reasons)
        return {"outcome": "refused", "why": str(refused)}
    await session.emit("decision", "deployed", reasons=["every rule holds"])
    return {"outcome": "deployed", "why": "every rule holds", "deployment": made["deployment"]["id"]}
