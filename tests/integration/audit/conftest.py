"""A migrated database a test, and the verbs of the tests of the log."""

import time

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.domain.checkpoints import SigningKey
from remit.domain.merkle import Frontier, leaf_hash
from remit.governance.sealer import Sealer
from remit.storage.migrate import migrate


@pytest.fixture(scope="session")
def migrated(database_factory):
    database = database_factory.create()
    migrate(database.url())
    with psycopg.connect(database.url()) as db:
        db.execute("insert into remit.bundles values ('b', '', 'k', '', 'person:a')")
        db.execute("insert into remit.agent_versions values ('refund-desk', 'v1', 'b')")
    yield database.name
    database_factory.drop(database)


@pytest.fixture
def database(make_database, migrated):
    return make_database(migrated)


@pytest.fixture
def db(database):
    """A connection of the owner's; every statement commits."""
    with psycopg.connect(database.url(), row_factory=dict_row, autocommit=True) as connection:
        yield connection


class Book:
    """Writes, seals and checks a log."""

    key = SigningKey.generate()

    def put(self, db, count=1, tag="gate:action:cleared"):
        """Append records."""
        db.execute(
            "select remit.append_record(%s, 'ses_1', null, null, jsonb_build_object('n', i, 'x', repeat('y', 200)))"
            " from generate_series(1, %s) as i",
            (tag, count),
        )

    def sealer(self, database, **options):
        return Sealer(database.url("sealer"), options.pop("key", self.key), **options)

    def seal(self, sealer, records):
        """Seal until so many are in; a transaction in another database may hold the horizon back for a moment."""
        done, until = 0, time.monotonic() + 30
        while done < records and time.monotonic() < until:
            done += sealer.seal_once().records
        assert done == records

    def check(self, db):
        """All that is stored about the log agrees. Returns how many records it holds, and how many have no leaf."""
        rows = db.execute(
            "select l.leaf_index, l.leaf_hash, r.body from remit.leaves l left join remit.records r"
            " on r.id = l.record_id and r.at = l.record_at order by l.leaf_index"
        ).fetchall()
        assert [row["leaf_index"] for row in rows] == list(range(len(rows)))
        frontier, nodes, roots = Frontier(), {}, {}
        for row in rows:
            assert leaf_hash(row["body"].encode()) == row["leaf_hash"]
            nodes.update(frontier.append(row["leaf_hash"]))
            roots[frontier.size] = frontier.root()
        stored = db.execute("select level, idx, hash from remit.merkle_nodes").fetchall()
        assert {(row["level"], row["idx"]): row["hash"] for row in stored} == nodes
        for row in db.execute("select * from remit.checkpoints").fetchall():
            opened = self.key.verifier.open(row["note"])
            assert (opened.size, opened.root) == (row["tree_size"], roots[row["tree_size"]])
            assert row["root"] == opened.root
        unsealed = db.execute(
            "select count(*) as n from remit.records r where not exists"
            " (select 1 from remit.leaves l where l.record_id = r.id)"
        ).fetchone()["n"]
        return len(rows), unsealed


@pytest.fixture(scope="session")
def book():
    return Book()
