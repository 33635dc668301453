"""Deployed bundles: signed manifests and their files, by content."""

from __future__ import annotations

from dataclasses import dataclass

from remit.domain import canonical
from remit.domain.records import Tag
from remit.storage.sessions import Db, record
from remit.storage.stops import lock_governance, raise_version


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle as the database holds it. Nothing of it may be used before its signature was checked."""

    digest: str
    key_id: str
    signature: bytes
    deployed_by: str
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class GovernanceRow:
    """The version of what decides, the bundle it stands on, and who is suspended."""

    version: int
    bundle_digest: str | None
    suspended: frozenset[str]


def store(
    db: Db, *, digest: str, files: dict[str, bytes], key_id: str, signature: bytes, by: str, agents: dict[str, str]
) -> int:
    """Store a signed bundle and make it the one in force. `agents` is name to version digest.

    Returns the new governance version.
    """
    manifest = {path: canonical.digest_bytes(content) for path, content in files.items()}
    for path, content in files.items():
        db.execute(
            "insert into remit.blobs (sha256, content) values (%s, %s) on conflict do nothing",
            (manifest[path], content),
        )
    db.execute(
        """insert into remit.bundles (digest, manifest, key_id, signature, deployed_by) values (%s, %s, %s, %s, %s)
           on conflict (digest) do update set key_id = excluded.key_id, signature = excluded.signature""",
        (digest, canonical.dumps(manifest), key_id, signature, by),
    )
    for agent, agent_digest in agents.items():
        db.execute(
            "insert into remit.agent_versions (agent, digest, bundle_digest) values (%s, %s, %s) "
            "on conflict do nothing",
            (agent, agent_digest, digest),
        )
    lock_governance(db)
    db.execute("update remit.governance set bundle_digest = %s", (digest,))
    version = raise_version(db)
    record(db, Tag.BUNDLE_DEPLOYED, bundle=digest, key=key_id, by=by, agents=agents, governance_version=version)
    return version


def load(db: Db, digest: str) -> StoredBundle | None:
    """A bundle by digest."""
    row = db.execute("select * from remit.bundles where digest = %s", (digest,)).fetchone()
    if row is None:
        return None
    manifest: dict[str, str] = canonical.parse(bytes(row["manifest"]), what="manifest")
    blobs = {
        b["sha256"]: bytes(b["content"])
        for b in db.execute("select * from remit.blobs where sha256 = any(%s)", (list(manifest.values()),))
    }
    files = {path: blobs[sha] for path, sha in manifest.items() if sha in blobs}
    return StoredBundle(row["digest"], row["key_id"], bytes(row["signature"]), row["deployed_by"], files)


def governance(db: Db) -> GovernanceRow:
    """What is in force now."""
    row = db.execute(
        """select version, bundle_digest,
                  array(select agent from remit.agent_state where suspended) as suspended from remit.governance"""
    ).fetchone()
    assert row is not None, "the migration wrote the row"
    return GovernanceRow(row["version"], row["bundle_digest"], frozenset(row["suspended"]))


def bundle_of(db: Db, agent: str, version: str) -> str | None:
    """Digest of the bundle that first held this version of an agent."""
    row = db.execute(
        "select bundle_digest from remit.agent_versions where agent = %s and digest = %s", (agent, version)
    ).fetchone()
    return row["bundle_digest"] if row is not None else None


def versions(db: Db, agent: str) -> list[dict[str, object]]:
    """All versions of an agent that were ever deployed, newest first."""
    return db.execute(
        """select digest, bundle_digest, deployed_at from remit.agent_versions where agent = %s
           order by deployed_at desc""",
        (agent,),
    ).fetchall()


def suspend(db: Db, agent: str, *, suspended: bool, by: str, reason: str) -> None:
    """Suspend an agent or take it back; like a deployment, this changes what decides."""
    lock_governance(db)
    db.execute(
        """insert into remit.agent_state (agent, suspended, by, reason) values (%(a)s, %(s)s, %(b)s, %(r)s)
           on conflict (agent) do update set suspended = %(s)s, by = %(b)s, reason = %(r)s, at = clock_timestamp()""",
        {"a": agent, "s": suspended, "b": by, "r": reason},
    )
    raise_version(db)
    record(db, Tag.AGENT_SUSPENDED if suspended else Tag.AGENT_RESUMED, agent=agent, by=by)
