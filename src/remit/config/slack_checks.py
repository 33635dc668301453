"""Whether `[slack]` can work: that it can be reached in its mode, and that each Slack id is one person's."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from remit.config import files as names
from remit.config.explain import suggest
from remit.config.mail_checks import is_loopback
from remit.config.reading import Loaded
from remit.config.source import Source
from remit.domain.project import SlackSection
from remit.errors import Problem


def check_slack(loaded: Loaded) -> Iterator[Problem]:
    """What is wrong with `[slack]` and with the Slack ids of the people who would act there."""
    source, slack = loaded.sources.get(names.SETTINGS), loaded.project.settings.slack
    directory = loaded.sources.get(names.DIRECTORY)
    if directory is not None:
        yield from _ids(loaded, directory)
    if source is None or slack is None:
        return
    yield from _mode(source, slack)
    yield from _api(source, slack)
    yield from _agent(loaded, source, slack)
    if directory is not None:
        yield from _people(loaded, directory, slack)


def _mode(source: Source, slack: SlackSection) -> Iterator[Problem]:
    if slack.mode == "http" and slack.signing_secret is None:
        said = "in HTTP mode nobody can tell Slack's requests from forged ones without `signing_secret`"
        yield source.problem(("slack",), said, 'give it, as "env:NAME", or use `mode = "socket"`')
    if slack.mode == "socket" and slack.app_token is None:
        yield source.problem(("slack", "mode"), "socket mode needs `app_token`", 'give it, as "env:NAME"')


def _api(source: Source, slack: SlackSection) -> Iterator[Problem]:
    parts = urlsplit(slack.api_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        said = "the bot's token would go unencrypted"
        yield source.problem(("slack", "api_url"), said, "use https; http is for this machine only")


def _agent(loaded: Loaded, source: Source, slack: SlackSection) -> Iterator[Problem]:
    folders = {p.split("/")[1] for p in loaded.project.files if p.startswith("agents/") and p.count("/") > 1}
    if slack.agent is None:
        return
    if slack.agent not in folders:
        said = f"there is no agent {slack.agent}"
        yield source.problem(("slack", "agent"), said, suggest(slack.agent, sorted(folders)))
    elif slack.agent in loaded.project.agents and loaded.project.agents[slack.agent].spec.external:
        said = f"{slack.agent} is external: no worker runs it, so nobody can talk to it"
        yield source.problem(("slack", "agent"), said, "name an agent that workers run")


def _ids(loaded: Loaded, directory: Source) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for position, person in enumerate(loaded.project.directory.people):
        if person.slack is None:
            continue
        if person.slack in seen:
            said = f"{person.slack} is {seen[person.slack]} already: a decision in Slack would be either's"
            yield directory.problem(("people", position, "slack"), said, "give each person their own id")
        seen.setdefault(person.slack, person.id)


def _people(loaded: Loaded, directory: Source, slack: SlackSection) -> Iterator[Problem]:
    found = [p.slack for p in loaded.project.directory.people if p.slack is not None]
    if not any(member.startswith(f"{slack.team}/") for member in found):
        said = f"`[slack]` is on, and nobody has a `slack` id of team {slack.team}"
        yield directory.problem(("people",), said, f"give people theirs, as {slack.team}/U…", severity="warning")
