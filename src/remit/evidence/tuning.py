"""Tuning an agent's parameters: checked, tried on past cases, approved where that is declared, and put in force.

A change of parameters is a change of the agent's files and so of its version: the file is written, checked with all
others, signed and deployed, and committed where the project is a git repository. Sessions under way keep theirs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remit.config import files as names
from remit.config.bundle import content_digest
from remit.config.check import check_project
from remit.config.edits import set_values, write_all
from remit.config.loader import load_project
from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.inbox import InboxItem
from remit.domain.project import Project
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance.answers import Decider
from remit.governance.deployments import deploy
from remit.governance.policy_report import policy_report
from remit.governance.state import Governance
from remit.storage import tunings
from remit.storage.sessions import Db

_GIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Change:
    """Other values of an agent's parameters, which fit them and which the tuner may ask for."""

    agent: str
    version: str
    """The agent's version that the change is made to."""
    workspace: str
    before: dict[str, Any]
    after: dict[str, Any]
    approvers: tuple[str, ...]
    """People of whom one has to approve; empty if whoever asks may decide alone."""
    by: str
    reason: str
    simulated: bool = False
    approved_by: str | None = None

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """Name to `before` and `after`."""
        return {name: {"before": self.before[name], "after": self.after[name]} for name in sorted(self.after)}


def asked_for(governance: Governance, agent: str, given: Mapping[str, str], tuner: Decider, reason: str) -> Change:
    """What somebody asks for, against what is in force. Raises NotFound, InvalidInput, NotEntitled, Conflict."""
    version = governance.agent(agent)
    if version is None:
        raise NotFound(f"no agent {agent} is deployed", advice="`remit agents` lists those that are.")
    if not version.parameters:
        raise NotFound(f"{agent} has no parameters", advice=f"They are declared in agents/{agent}/{names.PARAMETERS}.")
    directory = governance.project.directory
    before, after, approvers = {}, {}, set[str]()
    for name, text in given.items():
        parameter = version.parameters.get(name)
        if parameter is None:
            known = ", ".join(sorted(version.parameters))
            raise NotFound(f"{agent} has no parameter {name!r}", advice=f"It has: {known}.")
        if tuner.person not in {p.id for p in directory.resolve(parameter.tune)}:
            raise NotEntitled(f"{tuner.person} may not tune {name} of {agent}", advice=f"Ask {parameter.tune}.")
        try:
            after[name] = parameter.checked(text)
        except ValueError as error:
            raise InvalidInput(f"{text!r} does not fit {name}: {error}", advice=parameter.meaning) from None
        before[name] = parameter.value
        people = {p.id for p in directory.resolve(parameter.approve)}
        if parameter.approve is not None and tuner.person not in people:
            approvers = people if not approvers else approvers & people
            if not approvers:
                raise Conflict(
                    "nobody could approve all of these values together", advice="Ask for them one after the other."
                )
    if after == before:
        raise Conflict("these are the values that are in force already")
    who = tuple(sorted(approvers))
    return Change(
        agent, version.digest, version.spec.workspace, before, after, who, tuner.person, reason, tuner.simulated
    )


def approved(governance: Governance, item: InboxItem, approver: Decider) -> Change:
    """A change that waited, as it may be made now. Raises NotEntitled, Conflict if the agent is another by now."""
    detail = item.detail
    if approver.person not in item.assignees or approver.person == detail["by"]:
        raise NotEntitled(f"{approver.person} may not approve this; ask {', '.join(item.assignees) or 'nobody'}")
    version = governance.agent(detail["agent"])
    if version is None or version.digest != detail["version"]:
        raise Conflict(f"{detail['agent']} has changed since this was asked for", advice="Decline it and ask anew.")
    after = {name: version.parameters[name].checked(change["after"]) for name, change in detail["values"].items()}
    before = {name: version.parameters[name].value for name in after}
    change = Change(
        version.agent, version.digest, version.spec.workspace, before, after, (), detail["by"], detail["reason"]
    )
    return replace(change, approved_by=approver.person, simulated=approver.simulated)


def ready(folder: Path, governance: Governance, agent: str) -> AgentVersion:
    """Make sure that the folder holds exactly what is in force, so that tuning brings nothing else into force.

    Raises Conflict if it holds something else, ProjectInvalid if its files have errors.
    """
    project = load_project(folder)
    if content_digest(project.files) != governance.bundle_digest:
        raise Conflict(
            "the project's files are not what is in force, and tuning must not bring anything else into force",
            advice="Deploy them first (`remit deploy`), or tune where the deployed files are.",
        )
    return project.agents[agent]


def put_in_force(
    db: Db,
    folder: Path,
    change: Change,
    key_file: Path,
    *,
    allowed: tuple[str, ...],
    item: InboxItem | None = None,
) -> str:
    """Write the file, check everything, sign and deploy, in the caller's transaction. Returns the bundle's digest.

    The file is as it was if anything goes wrong before the transaction is committed; call `restore` if it is not.
    """
    path = _file(folder, change.agent)
    text = path.read_text(encoding="utf-8")
    plain = {name: canonical.plain(value) for name, value in change.after.items()}
    write_all({path: set_values(text, "parameters", "value", plain)})
    try:
        project = _checked(folder)
        digest, _ = deploy(db, project, key_file, f"person:{change.approved_by or change.by}", allowed=allowed)
        tunings.tuned(
            db,
            agent=change.agent,
            values=change.values,
            by=change.by,
            reason=change.reason,
            simulated=change.simulated,
            item=item,
            approved_by=change.approved_by,
            bundle=digest,
            version=project.agents[change.agent].digest,
        )
    except BaseException:
        write_all({path: text})
        raise
    return digest


def _checked(folder: Path) -> Project:
    report = check_project(folder, policy_check=policy_report)
    if report.project is None or not report.passed:
        shut = [f"{name}: {gate.gate}" for name, gates in report.failed_gates.items() for gate in gates]
        why = "; ".join([*map(str, report.problems[:3]), *shut[:3]])
        raise Conflict(
            f"with these values the project does not pass its checks: {why}",
            advice="Nothing was changed. `remit check` says more of the files as they are.",
        )
    return report.project


def commit(folder: Path, change: Change, governance: Governance) -> str:
    """Commit the file where the project is in a git repository. Returns what to tell the person about it."""
    git = shutil.which("git")
    path = _file(folder, change.agent)
    if git is None or _git(git, folder, "rev-parse", "--is-inside-work-tree").returncode:
        return "The project is not in a git repository, so nothing was committed."
    person = governance.project.directory.person(change.by)
    name = person.name if person is not None else change.by
    email = (person.email if person is not None else None) or f"{change.by}@invalid"
    values = ", ".join(f"{n} from {v['before']} to {v['after']}" for n, v in change.values.items())
    approved_by = f"\n\nApproved by {change.approved_by}." if change.approved_by else ""
    done = _git(
        git,
        folder,
        *("-c", f"user.name={name}", "-c", f"user.email={email}", "-c", "commit.gpgsign=false"),
        *("commit", "-q", "-m", f"Tune {change.agent}: {values}\n\n{change.reason}{approved_by}", "--", str(path)),
    )
    if done.returncode:
        return f"It was not committed: {done.stderr.strip()[:300]}. Commit {path.name} yourself."
    return f"Committed as {_git(git, folder, 'rev-parse', '--short', 'HEAD').stdout.strip()}."


def _git(git: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - git, with arguments that no shell reads
        [git, "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=_GIT_SECONDS,
        check=False,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
    )


def _file(folder: Path, agent: str) -> Path:
    return folder.resolve() / "agents" / agent / names.PARAMETERS
