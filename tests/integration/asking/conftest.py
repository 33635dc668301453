"""A world in which agents ask, remember and suggest: the road's world with the built-in tools on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from tests.integration.road.world import FILES, Snapshots, World

from remit.domain.agents import AgentVersion
from remit.domain.questions import Question
from remit.errors import ConfigurationError
from remit.governance.judgement import Run
from remit.governance.state import Governance
from remit.runtime.builtins import Builtins
from remit.runtime.loops import LoopGuard
from remit.runtime.road import Performed, TurnSuspendedError
from remit.runtime.sessions import Sessions
from remit.runtime.turn_road import TurnRoad, counts
from remit.storage import inbox

AGENT = """
title: {title}
purpose: Asks and remembers.
owner: {owner}
escalation: {escalation}
workspace: {workspace}
persistent: It is asked at any time.
input: {{type: string}}
tools: [till.peek, till.file, till.mail, remit.ask, remit.remember, remit.recall, remit.suggest]
model: "script:priced"
concurrency: null
memory: {{keep: 30d, longest: 60d, reviewers: [cleo]}}
"""
PROGRAM = "async def run(session):\n    return None\n"
DIRECTORY = """
people:
  - {id: ada, name: Ada, roles: [risk], workspaces: [shop]}
  - {id: eve, name: Eve, roles: [risk], manager: ada, workspaces: [shop]}
  - {id: bo, name: Bo, manager: cleo, workspaces: [shop]}
  - {id: cleo, name: Cleo, manager: ada, workspaces: [shop, lab]}
  - {id: dov, name: Dov, workspaces: [shop]}
  - {id: zed, name: Zed, workspaces: [lab]}
roles: [{id: risk, title: Risk}, {id: empty, title: Nobody}]
workspaces: [{id: shop, title: Shop, manager: ada}, {id: lab, title: Lab}]
"""


def agent(title: str, *, owner: str = "bo", escalation: str = "ada", workspace: str = "shop") -> str:
    """An agent.yaml."""
    return AGENT.format(title=title, owner=owner, escalation=escalation, workspace=workspace)


ASKING_FILES = {
    "directory_DOT_yaml": DIRECTORY,
    "agents__asker__agent_DOT_yaml": agent("Asker"),
    "agents__asker__program_DOT_py": PROGRAM,
    "agents__helper__agent_DOT_yaml": agent("Helper", owner="dov"),
    "agents__helper__program_DOT_py": PROGRAM,
    "agents__stranger__agent_DOT_yaml": agent("Stranger", owner="zed", escalation="zed", workspace="lab"),
    "agents__stranger__program_DOT_py": PROGRAM,
    "policies__world_DOT_cedar": FILES["policies/world.cedar"].replace(
        'principal == Agent::"clerk", action in Action::"write"', 'principal, action in Action::"write"'
    ),
}


class _Deployed:
    """The snapshots as surfaces see them."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def load(self) -> Governance:
        return asyncio.run(self._snapshots.refresh())

    def current(self) -> Governance:
        return self._snapshots.current()

    def version(self, name: str, digest: str) -> AgentVersion:
        found = self._snapshots.current().project.agents[name]
        if found.digest != digest:
            raise ConfigurationError(f"no version {digest} of {name}")
        return found


class Asking(World):
    """A process whose agents ask."""

    def __init__(self, url: str, **changed: Any) -> None:
        super().__init__(url, **{**ASKING_FILES, **changed})
        self.deployed: Any = _Deployed(self.snapshots)
        self.verbs = Sessions(url, self.deployed, lambda _db, asked: self.resumed.extend(turn for turn, _, _ in asked))

    def run(self, agent: str = "asker", **more: Any) -> Run:
        return super().run(agent, **more)

    async def road(self, run: Run, *, allowance: int = 0) -> TurnRoad:
        rows = await self.ledger.turn(run.turn_id)
        spec = self.snapshots.current().project.agents[run.actor.agent].spec
        guard = LoopGuard(spec, counts(rows), allowance)
        said = inbox.approvals(self.db, run.turn_id)
        builtins = Builtins(self.verbs, self.deployed)
        return TurnRoad(self.gate, self.snapshots, self.attempts, run, rows, said, guard, builtins=builtins)

    def ask(self, run: Run, question: Question, *, key: str = "1") -> Performed:
        """Ask on a fresh road of this run."""

        async def asked() -> Performed:
            return await (await self.road(run)).ask(key, question)

        return self.do(asked())

    def asks(self, run: Run, question: Question, *, key: str = "1") -> inbox.InboxItem:
        """Ask what must wait for a person; the open item."""
        with pytest.raises(TurnSuspendedError) as wait:
            self.ask(run, question, key=key)
        assert wait.value.waiting_for == "question"
        return self.item(run, "question")

    def result(self, run: Run, action: str, args: dict[str, Any], *, key: str = "1") -> Any:
        """The result of a call that must succeed."""
        done = self.call(run, action, args, key=key)
        assert done.status == "succeeded", done
        return done.result

    def deploy(self, **changed: str) -> None:
        """Put other files in force."""
        from tests.integration.road.world import project

        self.snapshots.put(project(**{**ASKING_FILES, **changed}))
        self.do(self.snapshots.refresh())


@pytest.fixture
def make_world(make_database: Callable[..., Any], migrated: str) -> Iterator[Callable[..., Asking]]:
    """`make_world(url=None, **changed_files)`."""
    with ExitStack() as stack:

        def make(url: str | None = None, **more: Any) -> Asking:
            return stack.enter_context(closing(Asking(url or make_database(migrated).url(), **more)))

        yield make


@pytest.fixture
def world(make_world: Callable[..., Asking]) -> Asking:
    return make_world()
