"""The durable queue of runs, on DBOS. This module and nothing else knows how the engine works.

Each run of a turn is one workflow whose only argument is an id, written as portable JSON. The workflow id is the
turn's id and the run's number, so that asking for the same run twice is one row. Sessions are partitions of the
queue: one run at a time in each. The engine carries runs; what a run did is in the ledger.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig
from dbos._serialization import DBOSPortableJSONSerializer, DefaultSerializer
from psycopg.rows import tuple_row
from sqlalchemy.pool import NullPool

from remit.errors import IntegrityError
from remit.storage.sessions import Db

APPLICATION = "remit"
VERSION = "turns-1"  # pinned: an upgrade of Remit or of the engine strands no turn
QUEUE = "turns"
RECOVERED = "turns-recovered"  # the engine takes a queue's partitions in no order, so what goes first needs its own
WORKFLOW = "run_turn"

RunTurn = Callable[[str, int], Awaitable[None]]
"""Runs a turn: its id and the run's number."""


def refuse_pickle() -> None:
    """Make the engine refuse to read pickles, so that whoever can write to its tables still cannot run code."""

    def refuse(cls: DefaultSerializer, serialized_data: str) -> Any:  # noqa: ARG001 - the engine's own signature
        raise IntegrityError("the engine's tables hold a pickled value, which is never read")

    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign]


def migrate(url: str) -> None:
    """Create or upgrade the engine's own tables, as the owner, and open them to the role that runs turns."""
    refuse_pickle()
    with psycopg.connect(url) as db:
        row = db.execute("select 1 from pg_roles where rolname = 'remit_dbos'").fetchone()
    DBOS.migrate(_sqlalchemy(url), application_role="remit_dbos" if row is not None else None)


_COPY = """
with other as (
    select * from unnest(%(ids)s::text[], %(sessions)s::text[]) as x(id, session)
), status as (
    insert into dbos.workflow_status
    select (jsonb_populate_record(w, jsonb_build_object('workflow_uuid', o.id, 'queue_partition_key', o.session))).*
    from dbos.workflow_status w, other o where w.workflow_uuid = %(first)s
)
insert into dbos.workflow_input
select (jsonb_populate_record(i, jsonb_build_object(
    'workflow_uuid', o.id, 'inputs', replace(i.inputs, %(first)s, o.id)))).*
from dbos.workflow_input i, other o where i.workflow_uuid = %(first)s
"""


class Enqueuer:
    """Asks for runs inside somebody else's transaction, on the same connection: both commit or neither does."""

    def __init__(self, url: str) -> None:
        refuse_pickle()
        self._lent = threading.local()
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=lambda: _Lent(self._lent.db),
            poolclass=NullPool,
            use_native_hstore=False,
        )
        self._client = DBOSClient(
            system_database_url=_sqlalchemy(url),
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
        )

    def enqueue(self, db: Db, runs: Sequence[tuple[str, str, int]]) -> None:
        """Enqueue runs: of a turn, in a session, with a number. They exist once the caller commits.

        The engine writes the first; the others are copies of its rows under their own ids, all in one round trip.
        """
        if not runs:
            return
        self._enqueue(db, *runs[0])
        if len(runs) > 1:
            first = f"{runs[0][0]}:{runs[0][2]}"
            others = [f"{turn_id}:{run}" for turn_id, _, run in runs[1:]]
            db.execute(_COPY, {"first": first, "ids": others, "sessions": [s for _, s, _ in runs[1:]]})

    def _enqueue(self, db: Db, turn_id: str, session_id: str, run: int) -> None:
        self._lent.db = db
        factory, db.row_factory = db.row_factory, tuple_row  # type: ignore[assignment]
        try:
            with self._engine.connect() as connection:
                self._client.enqueue_in_transaction(
                    connection,
                    {
                        "workflow_name": WORKFLOW,
                        "queue_name": QUEUE,
                        "application_name": APPLICATION,
                        "app_version": VERSION,
                        "workflow_id": f"{turn_id}:{run}",
                        "queue_partition_key": session_id,
                    },
                    f"{turn_id}:{run}",
                )
        finally:
            db.row_factory = factory
            self._lent.db = None

    def close(self) -> None:
        """Let go of the engine's own connections."""
        self._client.destroy()
        self._engine.dispose()


class _Lent:
    """A psycopg connection lent to SQLAlchemy, which may use it but neither commit, roll back nor close it."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def commit(self) -> None:
        """The owner commits."""

    def rollback(self) -> None:
        """The owner rolls back."""

    def close(self) -> None:
        """The owner closes."""


_WAITS = "select exists (select from dbos.workflow_status where queue_name = %s and status = 'ENQUEUED')"
_REREAD = 10.0  # seconds that a queue's settings are believed; they change when a worker with other settings starts


class _Glance:
    """Looks whether anything waits in a queue, before the engine looks for what it may take of it.

    The engine's own look reads the queue's settings and the application's version and walks over the sessions that
    wait: milliseconds of processor time, several times a second, also where nobody has asked for anything in hours.
    This is one short statement. All that it ever says is that nothing waits; what is taken the engine decides alone.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._db: psycopg.Connection[Any] | None = None
        self._alone = threading.Lock()
        self._settings: dict[str, tuple[float, Any]] = {}

    def stand_before(self, engine: Any) -> None:
        """Be asked first, by each of the threads that look for runs."""
        self._read = engine.get_queue
        engine.get_queue = self.settings
        engine.dequeue_scopes = self.scopes

    def settings(self, queue: str, **how: Any) -> Any:
        """A queue's settings, read anew now and then; the engine would, before every look."""
        read, known = self._settings.get(queue, (0.0, None))
        if known is None or how or time.monotonic() - read > _REREAD:
            known = self._read(queue, **how)
            self._settings[queue] = (time.monotonic(), known)
        return known

    def scopes(self, queue: str) -> list[None]:
        """Where the engine looks: in its one place, or nowhere when nothing waits."""
        with self._alone:
            try:
                self._db = self._db or psycopg.connect(self._url, autocommit=True, connect_timeout=10)
                row = self._db.execute(_WAITS, (queue,)).fetchone()
            except psycopg.Error:
                self._forget()
                raise
        return [None] if row is not None and row[0] else []

    def close(self) -> None:
        """Let go of the connection."""
        with self._alone:
            self._forget()

    def _forget(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()


class Engine:
    """The engine of one worker process: dequeues runs and hands them to the worker's event loop."""

    def __init__(self, url: str, executor: str, run_turn: RunTurn, *, concurrency: int, poll: timedelta) -> None:
        self._url = url
        self._executor = executor
        self._run_turn = run_turn
        self._concurrency = concurrency
        self._poll = poll
        self._glance = _Glance(url)

    def launch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start dequeueing. Runs are executed on `loop`, whatever thread the engine uses."""
        refuse_pickle()
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": _sqlalchemy(self._url),
            "executor_id": self._executor,
            "application_version": VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "enable_otlp": False,
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": 5.0,
        }
        dbos = DBOS(config=config)

        @DBOS.workflow(name=WORKFLOW)
        async def run(run_id: str) -> None:
            turn_id, _, number = run_id.rpartition(":")
            future = asyncio.run_coroutine_threadsafe(_typed(self._run_turn(turn_id, int(number))), loop)
            await asyncio.wrap_future(future)

        DBOS.launch()
        self._glance.stand_before(dbos._sys_db)  # noqa: SLF001 - under contract test, see tests/contracts
        # Runs of the dead come rarely, so that their queue is looked at less often.
        for queue, pause in ((QUEUE, self._poll), (RECOVERED, self._poll * 4)):
            DBOS.register_queue(
                queue,
                worker_concurrency=self._concurrency,
                partition_concurrency=1,
                polling_interval_sec=pause.total_seconds(),
                on_conflict="always_update",
            )

    def recover(self, dead: list[str]) -> list[str]:
        """Hand the runs of dead executors to the living, past everything that waits in the ordinary queue.

        Returns the runs' workflow ids.
        """
        with psycopg.connect(self._url) as db:
            rows = db.execute(
                "update dbos.workflow_status set queue_name = %s where status = 'PENDING' and executor_id = any(%s) "
                "returning workflow_uuid",
                (RECOVERED, dead),
            ).fetchall()
        DBOS._recover_pending_workflows(dead)  # noqa: SLF001 - under contract test, see tests/contracts
        return [row[0] for row in rows]

    def close(self) -> None:
        """Stop dequeueing. Runs under way are left to their own end."""
        DBOS.destroy(destroy_registry=True)
        self._glance.close()


async def _typed(awaitable: Awaitable[None]) -> None:
    await awaitable


def _sqlalchemy(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url
