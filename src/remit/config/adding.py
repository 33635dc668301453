"""What `remit connections add` and `remit new` put into a project, as texts; nothing is written here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from remit.config import files as names
from remit.config.connection_templates import ConnectionTemplate, ToolTemplate
from remit.config.edits import add_entries, flow
from remit.config.yaml_source import read_yaml
from remit.domain.agents import AgentSpec
from remit.domain.directory import Directory, PersonStatus
from remit.domain.project import Project
from remit.errors import Conflict, InvalidInput, NotFound

_TIMEOUT = "15s"


@dataclass(frozen=True, slots=True)
class People:
    """Who answers for what is added."""

    accountable: str
    system_owner: str
    risk_owner: str
    alone: bool
    """True if there is one active person only, who then has to approve their own requests."""


def people_for(
    directory: Directory,
    *,
    accountable: str | None = None,
    system_owner: str | None = None,
    risk_owner: str | None = None,
    workspace: str | None = None,
) -> People:
    """Fill in who was not named: the workspace's manager, or the first active person. Raises InvalidInput."""
    active = [p for p in directory.people if p.status is PersonStatus.ACTIVE]
    if not active:
        raise InvalidInput("nobody active is in the directory, and somebody has to answer for what is added")
    places = [w for w in directory.workspaces if workspace in {None, w.id}]
    manager = next((w.manager for w in places if directory.resolve(w.manager)), None)
    first = accountable or manager or active[0].id
    for reference in (accountable, system_owner, risk_owner):
        if reference is not None and not directory.resolve(reference):
            raise InvalidInput(f"{reference} is nobody active", advice=f"Active: {', '.join(p.id for p in active)}.")
    return People(first, system_owner or first, risk_owner or first, len(active) == 1)


def with_connection(
    texts: Mapping[str, str], template_name: str, template: ConnectionTemplate, name: str, people: People
) -> dict[str, str]:
    """connections.yaml and actions.yaml with a connection of this template, which is called `name`.

    `texts` are the files as they are. Raises Conflict if there is such a connection already.
    """
    known = read_yaml(names.CONNECTIONS, texts.get(names.CONNECTIONS, "").encode()).get(("connections",))
    if isinstance(known, dict) and name in known:
        raise Conflict(f"there is a connection {name} already", advice="Give another name with `--name`.")
    return {
        names.CONNECTIONS: add_entries(
            texts.get(names.CONNECTIONS, ""), "connections", _connection(template_name, template, name)
        ),
        names.ACTIONS: add_entries(texts.get(names.ACTIONS, ""), "actions", _actions(template, name, people)),
    }


def _connection(template_name: str, template: ConnectionTemplate, name: str) -> str:
    rate = {"per_second": _short(template.rate.per_second), "burst": template.rate.burst}
    return "\n".join(
        [
            f"{name}:",
            f"  title: {template.title} (a local fake)",
            *_vendor(template, name),
            "  transport: stdio",
            f"  command: [python, -m, remit.fakes, {template_name}]",
            f"  timeout: {_TIMEOUT}",
            f"  trusted: {'true' if template.trusted else 'false'}",
            f"  rate: {flow(rate)}",
            "",
        ]
    )


def _vendor(template: ConnectionTemplate, name: str) -> Iterator[str]:
    vendor = template.vendor
    yield "  # It keeps a small database in .remit/ and speaks to nobody. The real system's MCP server takes its place."
    if vendor.url is not None:
        yield f"  # {template.title}'s own, as documented; not tried with this file, and its tools have other names:"
        yield f"  #   transport: http\n  #   url: {vendor.url}"
        yield f"  #   headers: {{Authorization: env:{name.upper().replace('-', '_')}_AUTHORIZATION}}"
        yield "  # so pin them (`remit connections pin`), and classify them in actions.yaml as the fake's are."
    if vendor.note:
        yield f"  # {vendor.note}"
    if vendor.docs:
        yield f"  # {vendor.docs}"


def _actions(template: ConnectionTemplate, name: str, people: People) -> str:
    return "\n".join(line for tool, spec in template.tools.items() for line in _action(name, tool, spec, people))


def _action(connection: str, tool: str, spec: ToolTemplate, people: People) -> Iterator[str]:
    yield f"{connection}.{tool}:"
    for key, value in spec.action(connection).items():
        why = f" # {spec.irreversible}" if key == "reversible" and spec.irreversible else ""
        yield f"  {key}: {flow(value)}{why}"
    if spec.writes:
        raci = {
            "accountable": people.accountable,
            "system_owner": people.system_owner,
            "risk_owner": people.risk_owner,
        }
        yield f"  raci: {flow(raci)}"
        if people.alone:
            yield "  approval: {requester_may_approve: true} # there is only one of you; remove it when there are two"
    yield ""


# -- starting points --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """A starting point: an agent for a common chore."""

    name: str
    about: str
    connections: tuple[str, ...]
    """Connection templates that it needs, each a connection of the same name."""
    files: dict[str, str]
    """Its files, with tokens such as `@AGENT@` in them."""


def kinds() -> list[str]:
    """Names of all starting points."""
    folder = resources.files("remit.templates") / "agents"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("_"))


def kind(name: str) -> Kind:
    """A starting point. Raises NotFound."""
    if name not in kinds():
        raise NotFound(f"there is no starting point {name!r}", advice=f"There are: {', '.join(kinds())}.")
    folder = resources.files("remit.templates") / "agents" / name
    files = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.is_file()}
    told = read_yaml("kind.yaml", files.pop("kind.yaml").encode())
    return Kind(name, told.get(("about",)), tuple(told.get(("connections",))), files)


def agent_files(found: Kind, agent: str, *, owner: str, workspace: str) -> dict[str, str]:
    """The files of a new agent, by their path in the project."""
    tokens = {
        "@AGENT@": agent,
        "@ID@": "".join(c if c.isalnum() else "_" for c in agent),
        "@OWNER@": owner,
        "@WORKSPACE@": workspace,
    }
    made = {}
    for name, text in found.files.items():
        filled = text
        for token, value in tokens.items():
            filled = filled.replace(token, value)
        made[f"policies/{agent}.cedar" if name == "policies.cedar" else f"agents/{agent}/{name}"] = filled
    return made


def missing_tools(project: Project, found: Kind) -> dict[str, list[str]]:
    """Of connections that are there already: tools that the starting point uses and the project does not have."""
    spec = AgentSpec.model_validate(_filled_spec(found))
    return {
        name: tools
        for name in found.connections
        if name in project.connections
        and (
            tools := [
                tool
                for tool in spec.tools
                if tool.startswith(f"{name}.") and (tool not in project.actions or project.tool(tool) is None)
            ]
        )
    }


def _filled_spec(found: Kind) -> Any:
    text = agent_files(found, "a", owner="a", workspace="a")["agents/a/agent.yaml"]
    return read_yaml(names.AGENT, text.encode()).value


def _short(number: float) -> float | int:
    return int(number) if number == int(number) else number
