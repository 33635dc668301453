"""Puts the parts together. The only place that picks implementations; surfaces get their services from here.

What only workers need is imported when one begins to work, and the engine when something is first enqueued: a command
that reads needs neither, and shall not wait seconds for their libraries.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from remit import __version__, telemetry
from remit.config.reading import read_files
from remit.config.secrets import SecretResolver
from remit.config.settings import Settings
from remit.domain.ids import new_id
from remit.domain.project import RemitToml
from remit.errors import ConfigurationError, ProjectInvalid
from remit.governance.deployments import Deployments
from remit.governance.logins import Logins
from remit.governance.places import parse_place
from remit.governance.sealer import Sealer, ensure_sealer_key
from remit.governance.signing import ensure_key
from remit.runtime.sessions import Sessions
from remit.storage import inbox, migrate
from remit.storage.database import keeping_connections
from remit.storage.resolve import DatabaseHandle, resolve_database

if TYPE_CHECKING:
    from remit.governance.gate import Gate
    from remit.governance.oidc import Provider
    from remit.runtime.attempts import Attempts
    from remit.runtime.engine import Enqueuer
    from remit.runtime.external import GovernedTurn, Host
    from remit.runtime.surroundings import Surroundings
    from remit.runtime.triggers import Triggers
    from remit.storage.ledger import Ledger
    from remit.storage.pools import Pool
    from remit.storage.sessions import Db

log = logging.getLogger(__name__)

Chore = Callable[[asyncio.Event], Awaitable[None]]
"""Something that goes on until it is told to stop."""


@dataclass
class Services:
    """Everything that a surface needs of one project, made when it is first asked for."""

    settings: Settings
    folder: Path
    declared: RemitToml
    database: DatabaseHandle

    @property
    def state(self) -> Path:
        """The project's own folder for what does not belong into git."""
        return self.folder / ".remit"

    @property
    def url(self) -> str:
        """The database as the application's role."""
        return self.database.url("app")

    @property
    def local(self) -> bool:
        """True for a development project on an embedded database: whoever works here owns everything anyway."""
        return self.database.embedded and self.declared.project.development

    @property
    def deploy_key(self) -> Path:
        """Where this machine's private deploy key is, unless another one is given."""
        return self.state / "deploy.key"

    @cached_property
    def deploy_keys(self) -> tuple[str, ...]:
        """Public keys that may sign what runs here: those in this folder's remit.toml.

        In local development also the key in `.remit/`, made at its first use, because a private key never comes with
        a clone. With a database by URL, or without `development`, remit.toml alone counts.
        """
        declared = self.declared.deploy.keys
        return (*declared, ensure_key(self.deploy_key)) if self.local else declared

    @cached_property
    def deployments(self) -> Deployments:
        """What is deployed, verified against the keys that may sign."""
        return Deployments(self.url, self.deploy_keys)

    @cached_property
    def sessions(self) -> Sessions:
        """The verbs of sessions, people and stops."""
        return Sessions(self.url, self.deployments, self._enqueue)

    @cached_property
    def logins(self) -> Logins:
        """The verbs of coming in and going out."""
        return Logins(self.url, self.deployments)

    @cached_property
    def provider(self) -> Provider | None:
        """The company's identity provider, if people log in there."""
        from remit.governance.oidc import Provider  # noqa: PLC0415 - see above

        section = self.declared.login.oidc
        if section is None:
            return None
        back = f"{self.declared.server.url.rstrip('/')}/login/oidc/back"
        secrets = SecretResolver(self.folder)
        return Provider(section, back, lambda: secrets.resolve(section.client_secret).reveal())

    @cached_property
    def triggers(self) -> Triggers:
        """The verbs of triggers."""
        from remit.runtime.triggers import Triggers  # noqa: PLC0415 - see above

        return Triggers(self.pool, self.deployments, self.sessions)

    @cached_property
    def pool(self) -> Pool:
        """Connections that are kept, for what comes often."""
        from remit.storage.pools import Pool  # noqa: PLC0415 - see above

        return Pool(self.url)

    def _enqueue(self, db: Db, runs: Sequence[tuple[str, str, int]]) -> None:
        self._enqueuer.enqueue(db, runs)

    @cached_property
    def _enqueuer(self) -> Enqueuer:
        from remit.runtime.engine import Enqueuer  # noqa: PLC0415 - see above

        return Enqueuer(self.url)

    def sealer(self) -> Sealer:
        """The sealer of this project's record."""
        places = [parse_place(text, self.folder) for text in self.declared.audit.checkpoints]
        return Sealer(self.database.url("sealer"), ensure_sealer_key(self.state), places=places)

    async def work(
        self, stopping: asyncio.Event, ready: Callable[[], None] = lambda: None, *, more: tuple[Chore, ...] = ()
    ) -> None:
        """Be a worker and a sealer until told to stop. `more` goes on beside the work: a server, a surface."""
        from remit.runtime.builtins import Builtins  # noqa: PLC0415 - see above
        from remit.runtime.counting import Counting  # noqa: PLC0415
        from remit.runtime.programs import ProgramHost  # noqa: PLC0415
        from remit.runtime.turns import TurnRunner  # noqa: PLC0415
        from remit.runtime.worker import Worker, executor_id  # noqa: PLC0415

        executor = executor_id()
        ledger, surroundings, gate, attempts = self._road(executor)
        programs = ProgramHost(
            self.declared.programs.isolation, self.declared.programs.memory_mb, self.declared.programs.cpu_seconds
        )
        builtins = Builtins(self.sessions, self.deployments)
        turns = TurnRunner(
            self.url, executor, self.deployments, ledger, gate, attempts, programs, surroundings, builtins
        )
        sealer = self.sealer()

        async def seal(stop: asyncio.Event) -> None:
            await sealer.run(stop, self.settings.seal_every)

        async def warm(_stop: asyncio.Event) -> None:
            await surroundings.warm()

        chores = (seal, warm, Counting(self.url).run, self.triggers.run, *self._tracing(), *more)
        worker = Worker(self.url, executor, self.settings, self.sessions, turns.run, chores=chores)
        try:
            with keeping_connections(self.url):
                await worker.run(stopping, ready)
        finally:
            await programs.close()
            await surroundings.close()
            await ledger.close()

    def _tracing(self) -> tuple[Chore, ...]:
        """The chore that exports traces, if the standard environment variables ask for it."""
        if not telemetry.enabled(os.environ):
            return ()
        from remit.evidence.runs import Redactor  # noqa: PLC0415 - see above
        from remit.runtime.tracing import Tracing  # noqa: PLC0415

        def clean(value: Any) -> Any:
            actions = self.deployments.current().project.actions
            return Redactor({name: found.redact for name, found in actions.items() if found.redact}).clean(value)

        try:
            return (Tracing(self.url, contents=self.settings.telemetry_contents, clean=clean).run,)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the variables, the work goes on
            log.warning("traces are not exported: %s: %s", type(error).__name__, error)
            return ()

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Host]:
        """Be a process that runs turns of external agents itself, for the time of the block."""
        from remit.runtime.external import Host  # noqa: PLC0415 - see above

        executor = new_id("exe")
        ledger, surroundings, gate, attempts = self._road(executor)
        host = Host(
            executor,
            self.settings,
            self.url,
            self.deployments,
            self.sessions,
            ledger,
            gate,
            attempts,
            simulated=self.local,
        )
        await host.open()
        try:
            yield host
        finally:
            await host.close()
            await surroundings.close()
            await ledger.close()

    def _road(self, executor: str) -> tuple[Ledger, Surroundings, Gate, Attempts]:
        """The parts of the road for one process."""
        from remit.governance.gate import Gate  # noqa: PLC0415 - see above
        from remit.runtime.attempts import Attempts  # noqa: PLC0415
        from remit.runtime.surroundings import Surroundings  # noqa: PLC0415
        from remit.storage.ledger import Ledger  # noqa: PLC0415

        ledger = Ledger(self.url, executor)
        surroundings = Surroundings(
            self.state, self.deployments, self._secret, isolation=self.declared.programs.isolation
        )
        gate = Gate(ledger, self.deployments, clearance=self.settings.clearance, tool_changed=surroundings.tool_changed)
        return ledger, surroundings, gate, Attempts(gate, self.deployments, surroundings.connections, self._show)

    def close(self) -> None:
        """Let go of connections and of the database."""
        if "pool" in self.__dict__:
            self.pool.close()
        if "_enqueuer" in self.__dict__:
            self._enqueuer.close()
        self.database.close()

    def _secret(self, reference: str) -> str:
        return SecretResolver(self.folder).resolve(reference).reveal()

    def _show(self, item_id: str, detail: dict[str, object]) -> None:
        with self.sessions.transaction() as db:
            inbox.amend(db, item_id, detail)


@contextmanager
def open_services(folder: Path, settings: Settings | None = None) -> Iterator[Services]:
    """Open a project's services: its database is started and prepared if need be.

    Raises ConfigurationError if this is no project, DatabaseUnavailable if there is no database to be had.
    """
    settings = settings or read_environment()
    declared = read_settings(folder)
    database = resolve_database(settings, folder, declared.database.url)
    try:
        prepare(database)
        services = Services(settings, folder.resolve(), declared, database)
        try:
            yield services
        finally:
            services.close()
    finally:
        database.close()


def read_environment() -> Settings:
    """The settings of this process. Raises ConfigurationError with all that do not fit."""
    try:
        return Settings()
    except ValidationError as invalid:
        said = "; ".join(f"REMIT_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in invalid.errors())
        raise ConfigurationError(f"the environment has settings that do not fit: {said}") from None


@asynccontextmanager
async def open_host(project: Path | str, settings: Settings | None = None) -> AsyncIterator[Host]:
    """Open a project for a process that runs external agents itself, for the time of the block.

    It costs a second or so; open it once where many turns are governed, and give it to `governed` in place of the
    project's folder. Raises what `open_services` raises.
    """
    with ExitStack() as stack:
        services = await asyncio.to_thread(stack.enter_context, open_services(Path(project), settings))
        async with services.host() as host:
            yield host


@asynccontextmanager
async def governed(
    project: Path | str | Host,
    *,
    agent: str,
    input: Any = None,  # noqa: A002 - as everywhere in Remit
    principal: str | None = None,
    request_id: str | None = None,
    title: str = "",
    session: str | None = None,
) -> AsyncIterator[GovernedTurn]:
    """Run a turn of an external agent in the block, under Remit: in a new session, or further in `session`.

    Gives the turn's road. Leaving the block ends the turn: finished with what `finish` was told; failed if an
    exception leaves it, which is then raised; or waiting, if the turn had to wait for somebody or something. What
    suspends a turn does not leave the block: look at `status` and `waiting_for` behind it, and come back with
    `session` when the wait is over. The same code then runs from its top and gets every recorded result again.

    `project` is the project's folder, or a host of `open_host`. `principal` says who asks, `person:ID`, `trigger:NAME`
    or `agent:NAME`; it is needed where something new is asked. With `session`, `input` is a new message to it.

    Raises Conflict if another process is at work in the session or takes it over, InvalidInput, NotFound or
    NotEntitled if this may not be asked, DatabaseUnavailable if there is no database.
    """
    from remit.runtime.external import Ask, Host  # noqa: PLC0415 - see above

    ask = Ask(agent, input, principal, request_id, title, session)
    if isinstance(project, Host):
        async with project.turn(ask) as turn:  # noqa: ASYNC240 - a host, no path
            yield turn
        return
    async with open_host(project) as host, host.turn(ask) as turn:
        yield turn


def read_settings(folder: Path) -> RemitToml:
    """The project's remit.toml. Raises ConfigurationError if there is none, ProjectInvalid if it is wrong."""
    file = folder / "remit.toml"
    if not file.is_file():
        raise ConfigurationError(
            f"{folder.resolve()} is not a Remit project: there is no remit.toml",
            advice="Go to a project's folder, give one, or make one with `remit init DIR`.",
        )
    loaded = read_files({file.name: file.read_bytes()})
    problems = [p for p in loaded.problems if p.file == file.name and p.severity == "error"]
    if problems:
        raise ProjectInvalid(problems)
    return loaded.project.settings


def prepare(database: DatabaseHandle) -> None:
    """Bring the database to this release's tables, unless that was done already."""
    wanted = f"{__version__}/{_schema_digest()}/{installed('dbos')}"
    if migrate.prepared_for(database.url("app"), "remit") == wanted:
        return
    from remit.runtime import engine  # noqa: PLC0415 - see above

    owner = database.url("owner")
    migrate.migrate(owner)
    engine.migrate(owner)
    migrate.mark_prepared(owner, "remit", wanted)


def _schema_digest() -> str:
    versions = Path(migrate.__file__).with_name("migrations") / "versions"
    names = sorted(path.name for path in versions.glob("*.py"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
