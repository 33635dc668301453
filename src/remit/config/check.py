"""`remit check`: everything that can be known of a project before it runs, in one report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from remit.config import files as names
from remit.config.bundle import collect
from remit.config.reading import Loaded, in_order, read_files
from remit.config.references import check_references
from remit.domain.actions import ActionType
from remit.domain.agents import AgentVersion
from remit.domain.budgets import DayBudget
from remit.domain.directory import Person
from remit.domain.gates import Bounded, GateResult, judge_gates
from remit.domain.project import Project
from remit.errors import Problem

Where = Callable[[str], tuple[str, int, int]]
"""File, line and column at which an action type is declared."""


@dataclass(frozen=True)
class PolicyReport:
    """What the policy engine says of a project's policies."""

    problems: tuple[Problem, ...]
    bounded: Bounded
    """True if some policy names or bounds this action type."""
    approvers: Callable[[str], Collection[str]] = field(default=lambda _: ())
    """Roles that some policy asks for the approval of this action type."""


OWNER_ROLES = frozenset({"accountable", "system_owner", "risk_owner"})

PolicyCheck = Callable[[Project, Where], PolicyReport]
"""The policy engine's check; it lives in a higher layer and is handed in."""


@dataclass(frozen=True)
class CheckReport:
    """What `remit check` found. `gates` holds six results for each agent, or none while the files have errors."""

    problems: tuple[Problem, ...]
    """Errors, by file and line."""
    warnings: tuple[Problem, ...]
    gates: dict[str, tuple[GateResult, ...]]
    project: Project | None
    """The project, if its files have no errors."""

    @property
    def failed_gates(self) -> dict[str, tuple[GateResult, ...]]:
        """Managed agents that may not be deployed, with the gates that keep them out."""
        if self.project is None:
            return {}
        shut = {
            name: tuple(r for r in results if not r.passed)
            for name, results in self.gates.items()
            if self.project.agents[name].spec.layer == "managed"
        }
        return {name: results for name, results in shut.items() if results}

    @property
    def passed(self) -> bool:
        """True if there are no errors and every managed agent passes its six gates."""
        return self.project is not None and not self.problems and not self.failed_gates


def check_project(folder: Path, *, policy_check: PolicyCheck) -> CheckReport:
    """Check the project in a folder; never raises for what its files say.

    Policies are checked and gates judged once the other files have no errors: before that they would only repeat them.
    """
    files, problems = collect(folder)
    loaded = read_files(files, problems)
    found = [*loaded.problems, *check_references(loaded), *_unread_files(folder)]
    gates: dict[str, tuple[GateResult, ...]] = {}
    whole = not any(p.severity == "error" for p in found)
    if whole:
        policy = policy_check(loaded.project, loaded.where)
        found += [*policy.problems, *_warnings(loaded, policy)]
        whole = not any(p.severity == "error" for p in found)
        gates = {
            name: tuple(judge_gates(loaded.project, name, bounded=policy.bounded)) for name in loaded.project.agents
        }
    ordered = in_order(found)
    return CheckReport(
        problems=tuple(p for p in ordered if p.severity == "error"),
        warnings=tuple(p for p in ordered if p.severity != "error"),
        gates=gates,
        project=loaded.project if whole else None,
    )


def _unread_files(folder: Path) -> Iterator[Problem]:
    """Files that look like ones of a project and are not read."""
    known = {
        Path(name).stem for name in (names.DIRECTORY, names.CONNECTIONS, names.ACTIONS, names.WORKFLOWS, names.TRIGGERS)
    }
    try:
        present = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    except OSError:
        present = []
    for name in present:
        if name.endswith(".yml") and Path(name).stem in known:
            yield _warning(name, "this file is not read", f"name it {Path(name).stem}.yaml")


def _warnings(loaded: Loaded, policy: PolicyReport) -> Iterator[Problem]:
    project = loaded.project
    yield from _settings_warnings(loaded)
    for name, agent in project.agents.items():
        yield from _price_warning(loaded, name, agent)
    for name, action in project.actions.items():
        yield from _approval_warnings(loaded, name, action, policy.approvers(name))
    if not project.agents:
        yield _warning("agents", "the project has no agent", "make agents/NAME/agent.yaml and program.py or prompt.md")


def _settings_warnings(loaded: Loaded) -> Iterator[Problem]:
    settings, source = loaded.project.settings, loaded.sources[names.SETTINGS]
    embedded = settings.database.url == "embedded"
    if embedded:
        yield source.problem(
            ("database", "url"),
            "with the embedded database the separation of database roles guards against bugs only, not against "
            "whoever works on this machine as the same user",
            "use a PostgreSQL of its own in production",
            severity="warning",
        )
    if settings.project.development and not embedded:
        yield source.problem(
            ("project", "development"),
            "`development` has no effect with a database by URL: `--as` needs the embedded one",
            "remove it",
            severity="warning",
        )
    if settings.programs.isolation == "none":
        yield source.problem(
            ("programs", "isolation"),
            "programs run without a wall: they can read files, the environment and the network of this machine",
            "set `isolation` to `auto`",
            severity="warning",
        )
    if not settings.audit.checkpoints:
        yield source.problem(
            ("audit",),
            "checkpoints of the audit log go to no place outside the database: nobody could see it rewritten",
            "name a place under `[audit] checkpoints`, such as `file:/var/lib/remit-checkpoints`",
            severity="warning",
        )
    if not settings.deploy.keys and not (embedded and settings.project.development):
        yield source.problem(
            ("deploy",),
            "no key may sign a bundle, so nothing can be deployed",
            "add one under `[deploy] keys`",
            severity="warning",
        )


def _price_warning(loaded: Loaded, name: str, agent: AgentVersion) -> Iterator[Problem]:
    """A model without a price is refused wherever a money budget covers it: better known before the first run."""
    project = loaded.project
    spec = project.settings.models.get(agent.spec.model or "")
    if spec is None or spec.price is not None:
        return
    workflow = project.workflows.get(agent.spec.workflow or "")
    budgets: dict[str, DayBudget] = {
        "the agent's budget": agent.spec.budget,
        "the project's budget": project.settings.budget,
        "the workflow's budget": workflow.budget if workflow is not None else DayBudget(),
    }
    covering = [which for which, budget in budgets.items() if budget.limits_money]
    if covering:
        source = loaded.sources[f"agents/{name}/{names.AGENT}"]
        yield source.problem(
            ("model",),
            f"{agent.spec.model} has no price, and {' and '.join(covering)} limits money: every request is refused",
            f'give it a `price` under [models."{agent.spec.model}"] in {names.SETTINGS}',
            severity="warning",
        )


def _approval_warnings(loaded: Loaded, name: str, action: ActionType, roles: Collection[str]) -> Iterator[Problem]:
    """Approvals that nobody could give: nobody holds the role, too few people for the roles, or only the requester."""
    source = loaded.sources.get(names.ACTIONS)
    if source is None or not roles or name not in (loaded.declared(names.ACTIONS, "actions") or ()):
        return
    # Of an action type without RACI the asking agent's owner is asked for these roles; the gates look at the owner.
    by_owner = OWNER_ROLES if action.raci is None else frozenset()
    people = {role: _entitled(loaded.project, action, role) for role in sorted(set(roles) - by_owner)}
    empty = [role for role, found in people.items() if not found]
    everybody = {person for found in people.values() for person in found}
    path = ("actions", name)
    if empty:
        said = f"a policy asks {' and '.join(empty)} to approve {name}, and nobody active is that"
        yield source.problem(path, said, "name somebody active", key=True, severity="warning")
    elif len(everybody) < len(people):
        said = f"{name} needs {len(people)} people to approve it, and only {len(everybody)} could"
        yield source.problem(path, said, "name different people for the roles", key=True, severity="warning")
    elif not action.approval.requester_may_approve:
        for role, found in people.items():
            if len(found) == 1:
                only = next(iter(found))
                yield source.problem(
                    path,
                    f"only {only} could approve {name} as {role}: what {only} asks for, nobody may approve",
                    f"give {only} a manager, or the role to somebody else too",
                    key=True,
                    severity="warning",
                )


def _entitled(project: Project, action: ActionType, role: str) -> set[str]:
    """Ids of those who may approve in a role: whoever it leads to, and the managers above them."""
    references = action.raci.holders().get(role) if action.raci is not None else None
    holders: list[Person] = []
    for reference in references if references is not None else (f"role:{role}",):
        holders += project.directory.resolve(reference)
    return {p.id for p in holders} | {above.id for p in holders for above in project.directory.chain(p.id)}


def _warning(file: str, message: str, mend: str) -> Problem:
    return Problem(file, 1, 1, message, mend, "warning")
