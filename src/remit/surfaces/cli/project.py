"""Projects: make, check, deploy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.bootstrap import Services
    from remit.config.check import CheckReport
    from remit.domain.project import Project


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"init": init, "check": check, "deploy": deploy}


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--person", metavar="ID", help="Id of the first person in the directory; your login name by default.")
@click.option("--name", metavar="NAME", help="That person's name.")
def init(folder: Path, person: str | None, name: str | None) -> None:
    """Make a new project in DIR, which must be empty or not there yet."""
    from remit.config.init import init_project  # noqa: PLC0415 - heavy
    from remit.governance.signing import generate_key  # noqa: PLC0415

    made = init_project(folder, make_key=generate_key, person=person, person_name=name)
    click.echo(f"Made a project of {len(made)} files in {folder}:")
    for path in made:
        click.echo(f"  {path}")
    go = "" if folder == Path() else f"  cd {folder}\n"
    click.echo(
        f"\nNext:\n{go}"
        "  remit check                                             what Remit says of it\n"
        "  remit up                                                database and worker; leave it running\n"
        '  remit start hello --input \'{"text": "hello"}\' --wait   in another terminal\n'
        "\nREADME.md there says what each file is."
    )


@click.command("check")
@common.folder_argument
@common.json_option
def check(folder: Path, as_json: bool) -> int:
    """Validate the project in DIR and judge its agents' six gates. Starts and changes nothing."""
    report = checked(folder)
    if as_json:
        common.print_json(report_json(report))
    else:
        print_report(report)
    return 0 if report.passed else 1


def checked(folder: Path) -> CheckReport:
    """Check a project's files and policies."""
    from remit.config.check import check_project  # noqa: PLC0415 - heavy
    from remit.governance.policy_report import policy_report  # noqa: PLC0415

    return check_project(folder, policy_check=policy_report)


def report_json(report: CheckReport) -> dict[str, Any]:
    """A report in the shape of `remit check --json`."""
    return {
        "passed": report.passed,
        "errors": [asdict(p) for p in report.problems],
        "warnings": [asdict(p) for p in report.warnings],
        "agents": {
            name: [{"gate": r.gate, "passed": r.passed, "findings": [asdict(f) for f in r.findings]} for r in results]
            for name, results in report.gates.items()
        },
    }


def print_report(report: CheckReport) -> None:
    """Print problems as `file:line:column`, then the gates of each agent."""
    for problem in (*report.problems, *report.warnings):
        click.echo(common.clean(str(problem)))
    for name, results in report.gates.items():
        shut = [r for r in results if not r.passed]
        assisted = report.project is not None and report.project.agents[name].spec.layer == "assisted"
        said = f"{len(results) - len(shut)} of {len(results)} gates"
        if assisted and shut:
            said += ", which an assisted agent need not pass"
        click.echo(f"{name}: {said}")
        for result in results:
            _print_gate(result.gate, result.findings, passed=result.passed)
    errors, warnings = len(report.problems), len(report.warnings)
    if report.passed:
        click.echo(f"All is well{f', with {warnings} warning(s)' if warnings else ''}.")
    elif errors:
        click.echo(f"{errors} error(s), {warnings} warning(s).")
    else:
        click.echo(f"These agents may not be deployed: {', '.join(report.failed_gates)}.")


def _print_gate(gate: str, findings: Any, *, passed: bool) -> None:
    if findings or not passed:
        click.echo(f"  {'open' if passed else 'SHUT'}  {gate.replace('_', ' ')}")
    for finding in findings:
        click.echo(f"        {common.clean(finding.text)} ({common.clean(finding.mend)})")


@click.command("deploy")
@common.folder_argument
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your private deploy key; by default `.remit/deploy.key` in the project.",
)
@common.as_option
@common.json_option
def deploy(folder: Path, key: Path | None, person: str | None, as_json: bool) -> int:
    """Check the project in DIR, sign it, and put it in force.

    Refused while the files have errors or a managed agent does not pass its six gates. Sessions under way keep the
    version of their agent that they began with; what it may do is what is in force now.
    """
    from remit.bootstrap import read_settings  # noqa: PLC0415

    read_settings(folder)  # "this is no project" is said best by its own error
    report = checked(folder)
    project = report.project
    if not report.passed or project is None:
        if as_json:
            common.print_json({"deployed": False, **report_json(report)})
        else:
            print_report(report)
            click.echo("Nothing was deployed.", err=True)
        return 1
    with common.services(folder) as services:
        done = put_in_force(services, project, key or services.deploy_key, person)
    if as_json:
        common.print_json(done)
    else:
        _print_deployed(done)
    return 0


def deploy_if_changed(services: Services) -> str:
    """Deploy the folder of a local development project if its files differ from what is in force.

    Returns what to tell the person; empty where nothing was to be done. Raises ConfigurationError where the files do
    not pass and nothing was deployed before.
    """
    from remit.config.bundle import content_digest  # noqa: PLC0415
    from remit.errors import ConfigurationError  # noqa: PLC0415

    report = checked(services.folder)
    if not report.passed or report.project is None:
        said = "the project's files do not pass `remit check`"
        if _in_force(services) is None:
            raise ConfigurationError(f"{said}, and nothing else is deployed", advice="Run `remit check` and mend them.")
        return f"Not deployed: {said}. What was deployed before stays in force."
    digest = content_digest(report.project.files)
    if not services.local:
        same = _in_force(services) == digest
        return "" if same else "The project's files are not what is in force. Deploy them with `remit deploy`."
    done = put_in_force(services, report.project, services.deploy_key, None)
    return f"Deployed version {digest[:12]} of the project." if done["deployed"] else ""


def put_in_force(services: Services, project: Project, key: Path, person: str | None) -> dict[str, Any]:
    """Sign a checked project and put it in force, unless exactly this is. Returns what happened, for `--json`."""
    from remit.config.bundle import content_digest  # noqa: PLC0415
    from remit.errors import RemitError  # noqa: PLC0415
    from remit.governance.deployments import deploy as sign_and_store  # noqa: PLC0415
    from remit.governance.signing import key_id, load_key, public_text  # noqa: PLC0415
    from remit.storage import bundles  # noqa: PLC0415

    if person is not None:
        common.must_be_local(services)
    keys, digest = services.deploy_keys, content_digest(project.files)  # makes the local key
    with services.sessions.transaction() as db:
        row = bundles.governance(db)
        before = bundles.load(db, row.bundle_digest) if row.bundle_digest is not None else None
    old = before.files if before is not None else {}
    done = {
        "deployed": True,
        "bundle": digest,
        "version": row.version,
        "agents": {name: agent.digest for name, agent in project.agents.items()},
        "added": sorted(project.files.keys() - old.keys()),
        "removed": sorted(old.keys() - project.files.keys()),
        "changed": sorted(p for p in project.files.keys() & old.keys() if project.files[p] != old[p]),
    }
    if row.bundle_digest == digest:
        try:
            services.deployments.load()
        except RemitError:
            pass  # signed with a key that may not sign any more: sign it again
        else:
            return {**done, "deployed": False}
    by = f"person:{person}" if person is not None else f"key:{key_id(public_text(load_key(key)))}"
    with services.sessions.transaction() as db:
        _, version = sign_and_store(db, project, key, by, allowed=keys)
    return {**done, "version": version}


def _in_force(services: Services) -> str | None:
    from remit.storage import bundles  # noqa: PLC0415

    with services.sessions.transaction() as db:
        return bundles.governance(db).bundle_digest


def _print_deployed(done: dict[str, Any]) -> None:
    if not done["deployed"]:
        click.echo(f"Exactly this is in force already: {done['bundle'][:12]}.")
        return
    click.echo(f"Deployed {done['bundle']} as version {done['version']}.")
    for name, digest in done["agents"].items():
        common.line(name, digest[:12])
    for word in ("added", "changed", "removed"):
        common.line(word, ", ".join(done[word]))
