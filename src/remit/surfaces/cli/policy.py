"""Policies: why a decision is what it is, what would be decided, and who answers for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.evidence.shaping import policies as shaping
from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.governance.policy.reading import Policy
    from remit.governance.state import Governance


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"policy": policy, "raci": raci}


@click.group("policy")
def policy() -> None:
    """Explain a decision; list and test policies."""


@policy.command("explain")
@click.argument("action_id")
@common.json_option
@common.project_option
def explain(action_id: str, as_json: bool, folder: Path) -> None:
    """Say why an action was decided as it was, by which policy on which line, and how it would be decided now.

    "Now" looks at identity, scope, RACI, arguments, caps, policy and the approvals that were given; not at stops, rates
    and budgets.
    """
    from remit.evidence.shaping.policies import explained  # noqa: PLC0415 - heavy

    with common.services(folder) as services, services.sessions.transaction() as db:
        shown = explained(services.deployments.load(), db, action_id)
    if as_json:
        common.print_json(shown)
    else:
        _print_explained(shown)


@policy.command("test")
@click.argument("agent")
@click.argument("action")
@click.option(
    "--input", "given", default="{}", metavar="JSON", help="The arguments: JSON, @FILE, or - for standard input."
)
@click.option("--label", "labels", multiple=True, type=click.Choice(["untrusted", "private"]), help="Touched so far.")
@click.option("--approved", multiple=True, metavar="ROLE", help="Suppose that this role has approved.")
@click.option("--person", metavar="PERSON", help="For an assisted agent: the person it acts through.")
@click.option(
    "--autonomy",
    type=click.Choice(["observe", "propose", "supervised", "autonomous"]),
    help="Suppose this level instead of the agent's own.",
)
@common.json_option
@common.project_option
def test(
    agent: str,
    action: str,
    given: str,
    labels: tuple[str, ...],
    approved: tuple[str, ...],
    person: str | None,
    autonomy: str | None,
    as_json: bool,
    folder: Path,
) -> int:
    """Say what would be decided if AGENT asked for ACTION, by the project's files as they are now.

    Nothing is deployed, started or recorded. A session is supposed that has just begun, on a day on which nothing was
    spent. Exits 0 for permit, 1 for anything else.
    """
    from dataclasses import replace  # noqa: PLC0415

    from remit.governance.explaining import rehearse, supposed_question  # noqa: PLC0415 - heavy

    governance = of_files(folder)
    args = arguments(given)
    question = supposed_question(governance, agent, action, args, person=person, labels=labels)
    if autonomy is not None:
        question = replace(question, autonomy=autonomy)  # type: ignore[arg-type]
    found = rehearse(governance, question, approved)
    shown = {"agent": agent, "action": action, "args": question.args, **shaping.rehearsal(governance.policy, found)}
    if as_json:
        common.print_json(shown)
    else:
        _print_rehearsed(shown)
    return 0 if found.verdict.kind == "permit" else 1


@policy.command("list")
@common.json_option
@common.project_option
def list_(as_json: bool, folder: Path) -> None:
    """List the policies of the project's files."""
    engine = of_files(folder).policy
    if as_json:
        common.print_json([shaping.policy(engine, p) for p in engine.policies])
        return
    rows = [
        (p.id, p.effect, _scope(p), ", ".join(p.roles), shaping.place(p), p.annotations.get("description") or "")
        for p in engine.policies.values()
    ]
    common.table(("policy", "effect", "speaks about", "asks", "where", "says"), rows, empty="There is no policy.")


@policy.command("schema")
@common.project_option
def schema(folder: Path) -> None:
    """Print the Cedar schema that is generated from the action types and tools, for editors."""
    click.echo(of_files(folder).policy.schema_text)


@click.command("raci")
@click.argument("agent")
@common.json_option
@common.project_option
def raci(agent: str, as_json: bool, folder: Path) -> int:
    """Say who answers for every action that AGENT can take, by the project's files.

    One named person of each kind: accountable for the outcome, owner of the system, owner of the risk. Exits 1 if an
    action that writes has nobody for one of them.
    """
    from remit.governance.explaining import actions_of, responsible  # noqa: PLC0415 - heavy

    governance = of_files(folder)
    must_be_agent(governance, agent)
    found: list[dict[str, Any]] = []
    for name in actions_of(governance, agent):
        action_type = governance.action_type(name)
        people = responsible(governance, agent, name)
        found.append(
            {
                "action": name,
                "title": action_type.title if action_type is not None else "",
                "effect": action_type.effect if action_type is not None else None,
                "executor": agent,
                **{role: next((p.id for p in people[role]), None) for role in OWNERS},
                **{role: [p.id for p in people[role]] for role in ("consulted", "informed")},
            }
        )
    if as_json:
        common.print_json(found)
    else:
        columns = ("action", "effect", *(role.replace("_", " ") for role in OWNERS), "consulted", "informed")
        rows = [
            (
                r["action"],
                r["effect"],
                *(r[role] or "NOBODY" for role in OWNERS),
                ", ".join(r["consulted"]),
                ", ".join(r["informed"]),
            )
            for r in found
        ]
        common.table(columns, rows, empty=f"{agent} can take no action.")
    return 1 if any(r["effect"] == "write" and not all(r[role] for role in OWNERS) for r in found) else 0


OWNERS = ("accountable", "system_owner", "risk_owner")


def of_files(folder: Path) -> Governance:
    """What would decide if the project's files were deployed. Raises ProjectInvalid."""
    from remit.bootstrap import read_settings  # noqa: PLC0415 - heavy
    from remit.config.bundle import content_digest  # noqa: PLC0415
    from remit.config.loader import load_project  # noqa: PLC0415
    from remit.governance.policy import PolicyEngine  # noqa: PLC0415
    from remit.governance.state import Governance  # noqa: PLC0415

    read_settings(folder)
    project = load_project(folder)
    specs = {name: agent.spec for name, agent in project.agents.items()}
    engine = PolicyEngine.load(project.policies, project.actions, project.tool, project.directory, specs)
    return Governance(version=0, bundle_digest=content_digest(project.files), project=project, policy=engine)


def must_be_agent(governance: Governance, agent: str) -> None:
    """Raises NotFound if the project has no such agent."""
    from remit.errors import NotFound  # noqa: PLC0415

    if agent not in governance.project.agents:
        known = ", ".join(sorted(governance.project.agents)) or "none"
        raise NotFound(f"there is no agent {agent!r}", advice=f"Agents: {known}.")


def arguments(text: str) -> dict[str, Any]:
    """Arguments as JSON. Raises InvalidInput if they are no object."""
    from remit.errors import InvalidInput  # noqa: PLC0415

    value = common.read_input(text)
    if not isinstance(value, dict):
        raise InvalidInput("arguments are a JSON object", advice='Give them as {"amount": 90}.')
    return value


def _scope(found: Policy) -> str:
    return "everything" if found.scope.operator == "all" else ", ".join(found.scope.names)


def _print_explained(shown: dict[str, Any]) -> None:
    recorded, now = shown["recorded"], shown["now"]
    common.heading(f"{shown['action']} by {shown['agent']}: {recorded['status']}")
    for name, value in (shown["args"] or {}).items():
        common.line(name, common.compact(value))
    for reason in recorded["reasons"]:
        common.line("because", f"{reason['code']}: {reason['text']}")
    override = recorded["override"] or {}
    common.line("decided by", override and f"{override.get('by')}: {override.get('verdict')}, {override.get('reason')}")
    _print_policies(recorded["policies"])
    click.echo()
    if now is None:
        click.echo("No policy judges this: it asks a person, or keeps a value.")
        return
    common.heading(f"Now: {_in_words(now['verdict'])}")
    if shown["policies_changed"]:
        click.echo("  The policies have changed since: the texts above are today's.")
    _print_rest(now)
    if [p["id"] for p in now["policies"]] != [p["id"] for p in recorded["policies"]]:
        _print_policies(now["policies"])


def _print_rehearsed(shown: dict[str, Any]) -> None:
    common.heading(f"{shown['action']} by {shown['agent']}: {_in_words(shown['verdict'])}")
    _print_rest(shown)
    _print_policies(shown["policies"])


def _print_rest(found: dict[str, Any]) -> None:
    for reason in found["reasons"]:
        common.line("because", f"{reason['code']}: {reason['text']}")
    common.line("asks", ", ".join(found["roles"]))
    others = [s["policy"] for s in found["spoke"] if not s["determining"]]
    common.line("also spoke", ", ".join(dict.fromkeys(others)))


def _in_words(verdict: str) -> str:
    return {"permit": "permitted", "forbid": "forbidden", "needs_approval": "needs approval"}[verdict]


def _print_policies(policies: list[dict[str, Any]]) -> None:
    for found in policies:
        common.line("policy", f"{found['id']} ({found['where'] or 'not in force any more'})")
        for text in (found["text"] or "").splitlines():
            click.echo(f"      {common.clean(text)}")
