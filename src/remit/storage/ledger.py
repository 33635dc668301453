"""The ledger: intents before, outcomes after, and what a turn already did."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import asdict
from datetime import datetime
from typing import Any

import psycopg

from remit.domain import canonical
from remit.domain.decisions import ActionStatus, Reason
from remit.domain.intents import Admission, BudgetDraw, Intent, LedgerRow, Settled, Settlement
from remit.errors import DatabaseUnavailable
from remit.storage.database import Channel, connect, safe_json, safe_text
from remit.storage.group_commit import GroupCommit

log = logging.getLogger(__name__)

UNSTORABLE = canonical.dumps({"result_unstorable": True})
"""What stands in the ledger for a result that happened but could not be kept."""


def payload_id(owner_id: str, part: str) -> str:
    """Id of the contents that belong to an action, session or message: `a` asked arguments, `e` edited, `r` result."""
    return f"pay_{owner_id.partition('_')[2]}{part}"


class Ledger:
    """Admits and settles actions, each in one round trip, many at once under load.

    One process has one ledger. `executor` is the process's id; the database refuses an admission of a session that
    another executor owns.
    """

    def __init__(self, url: str, executor: str) -> None:
        self._url = url
        self._executor = executor
        self._admissions = Channel(url)
        self._settlements = Channel(url)
        self._admit: GroupCommit[Intent, Admission] = GroupCommit(self._admit_batch)
        self._settle: GroupCommit[Settlement, Settled] = GroupCommit(self._settle_batch)

    async def admit(self, intent: Intent) -> Admission:
        """Commit an intent and whatever the limits and budgets say of it.

        Raises DatabaseUnavailable if it is not known to be committed; then nothing may be executed.
        """
        return await self._admit.submit(intent)

    async def settle(self, settlement: Settlement) -> Settled:
        """Commit an outcome. Keeps trying while the database is away.

        An outcome is knowledge that exists nowhere else, so only the end of this process makes it give up.
        """
        pause = 0.05
        while True:
            try:
                return await self._settle.submit(settlement)
            except (psycopg.OperationalError, DatabaseUnavailable) as error:
                log.warning("the outcome of %s cannot be stored yet: %s", settlement.id, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def turn(self, turn_id: str) -> dict[str, LedgerRow]:
        """Everything that the ledger holds of a turn, by key, in the order in which it was asked for.

        A forked turn begins with what it inherits: settled actions of other turns, under the keys that they had there.
        """

        def read() -> dict[str, LedgerRow]:
            with connect(self._url) as db:
                rows = [row for statement in (_INHERITED, _TURN) for row in db.execute(statement, (turn_id,))]
            return {row["key"]: _row(row) for row in rows}

        return await asyncio.to_thread(read)

    async def close(self) -> None:
        """Close the connections."""
        await self._admissions.close()
        await self._settlements.close()

    async def _admit_batch(self, intents: list[Intent]) -> list[Admission]:
        items = json.dumps([intent_json(i) for i in intents])
        bodies = [i.body for i in intents]
        try:
            answers = await self._admissions.scalar(
                "select remit.admit(%s, %s::jsonb, %s, %s)", (self._executor, items, bodies, _salts(len(intents)))
            )
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(f"an intent may not have been committed: {error}") from error
        return [_admission(a) for a in answers]

    async def _settle_batch(self, settlements: list[Settlement]) -> list[Settled]:
        try:
            return await self._send_settlements(settlements)
        except psycopg.DataError:
            # One outcome that the database cannot take must not take the others with it, nor be lost itself.
            log.exception("a result could not be stored; its outcome is kept without it")
            return [
                (await self._send_settlements([s if await self._storable(s) else _without_contents(s)]))[0]
                for s in settlements
            ]

    async def _storable(self, settlement: Settlement) -> bool:
        try:
            await self._settlements.scalar("select %s::jsonb", (json.dumps(settlement_json(settlement)),))
        except psycopg.DataError:
            return False
        return True

    async def _send_settlements(self, settlements: list[Settlement]) -> list[Settled]:
        items = json.dumps([settlement_json(s) for s in settlements])
        bodies = [s.body for s in settlements]
        answers: list[dict[str, Any]] = await self._settlements.scalar(
            "select remit.settle(%s::jsonb, %s, %s)", (items, bodies, _salts(len(settlements)))
        )
        return [Settled(a["answer"], datetime.fromisoformat(a["at"]) if a.get("at") else None) for a in answers]


_ROWS = """
select a.id, a.turn_id, a.session_id, a.key, a.mode, a.action, a.asked_digest, a.args_digest, a.asker_digest,
       a.status, a.reasons, a.policy_ids, a.roles, a.attempt, a.first_cleared_at, a.settled_at, a.item_id, a.delivered,
       a.error, a.usd_micros, a.input_tokens, a.output_tokens, a.override,
       extract(epoch from a.expires_at - clock_timestamp()) as expires_in,
       r.body as result, e.body as edited,
       coalesce(i.status = 'open', false) as item_open
from remit.actions a
left join remit.payloads r on r.id = 'pay_' || substr(a.id, 5) || 'r'
left join remit.payloads e on e.id = 'pay_' || substr(a.id, 5) || 'e'
left join remit.inbox_items i on i.id = a.item_id
"""
_TURN = f"{_ROWS} where a.turn_id = %s order by a.created_at, a.id"
_INHERITED = f"""{_ROWS}
where a.id in (select unnest(inherits) from remit.turns where id = %s) order by a.created_at, a.id"""  # noqa: S608 - constants


def _salts(count: int) -> list[bytes]:
    raw = os.urandom(16 * count)
    return [raw[i : i + 16] for i in range(0, len(raw), 16)]


def _reasons(reasons: tuple[Reason, ...]) -> list[dict[str, Any]]:
    return [{"code": r.code, "text": safe_text(r.text, 1_000), "policy_id": r.policy_id} for r in reasons]


def intent_json(i: Intent) -> dict[str, Any]:
    """An intent as `remit.admit` takes it."""
    item = None
    if i.item is not None:
        item = safe_json({**asdict(i.item), "escalate_at": str(i.item.escalate_at or "") or None})
        item["expires_at"] = str(i.item.expires_at) if i.item.expires_at else None
        item["detail"] = item["detail"] or {}
    return {
        "id": i.id,
        "turn_id": i.turn_id,
        "session_id": i.session_id,
        "epoch": i.epoch,
        "key": i.key,
        "mode": i.mode,
        "action": safe_text(i.action, 200),
        "agent": i.agent,
        "agent_version": i.agent_version,
        "on_behalf_of": i.on_behalf_of,
        "asked_digest": i.asked_digest,
        "args_digest": i.args_digest,
        "asker_digest": i.asker_digest,
        "verdict": i.verdict,
        "reasons": _reasons(i.reasons),
        "policy_ids": i.policy_ids,
        "policy_version": i.policy_version,
        "roles": i.roles,
        "determining": i.determining,
        "approved_roles": i.approved_roles,
        "duplicate_approved": i.duplicate_approved,
        "duplicate_known": i.duplicate_known,
        "version": i.version,
        "labels": i.labels,
        "adds": i.adds,
        "reserve_usd": i.reserve_usd,
        "reserve_tokens": i.reserve_tokens,
        "budgets": [_draw(b) for b in i.budgets],
        "limits": [
            {"key": x.key, "per_second": x.per_second, "burst": x.burst, "concurrency": x.concurrency} for x in i.limits
        ],
        "business_key": i.business_key,
        "deadline_ms": i.deadline_ms,
        "timeout_ms": i.timeout_ms,
        "nonce": i.nonce,
        "repeat": i.repeat,
        "park": i.park,
        "consulted": i.consulted,
        "delivered": i.delivered,
        "provider_call_id": safe_text(i.provider_call_id, 200) if i.provider_call_id else None,
        "why": safe_text(i.why, 2_000),
        "item": item,
    }


def _draw(b: BudgetDraw) -> dict[str, Any]:
    return {
        "id": b.id,
        "usd": b.usd,
        "tokens": b.tokens,
        "calls": b.calls,
        "usd_limit": b.usd_limit,
        "tokens_limit": b.tokens_limit,
        "calls_limit": b.calls_limit,
    }


def settlement_json(s: Settlement) -> dict[str, Any]:
    """A settlement as `remit.settle` takes it."""
    return {
        "id": s.id,
        "status": s.status,
        "error": safe_text(s.error, 4_000) if s.error is not None else None,
        "usd": s.usd,
        "input_tokens": s.input_tokens,
        "output_tokens": s.output_tokens,
        "informed": s.informed,
        "notice": safe_text(s.notice, 1_000),
        "owners": s.owners,
        "by": s.by,
        "attempt": s.attempt,
        "item": safe_json({**asdict(s.item), "escalate_at": None, "expires_at": None}) if s.item else None,
        "override": safe_json(s.override),
    }


def _without_contents(s: Settlement) -> Settlement:
    return Settlement(
        id=s.id,
        status=s.status,
        body=UNSTORABLE,
        error="the result could not be stored",
        usd=s.usd,
        input_tokens=s.input_tokens,
        output_tokens=s.output_tokens,
        attempt=s.attempt,
    )


def _admission(answer: dict[str, Any]) -> Admission:
    return Admission(
        answer=answer["answer"],
        attempt=answer.get("attempt", 0),
        reasons=_read_reasons(answer.get("reasons") or ()),
        item_id=answer.get("item_id"),
        wait_ms=int(answer.get("wait_ms") or 0),
        code=answer.get("code", ""),
        other=answer.get("other") or answer.get("action") or answer.get("stop") or answer.get("status") or "",
        labels=tuple(answer["labels"]) if "labels" in answer else None,
    )


def _read_reasons(reasons: Any) -> tuple[Reason, ...]:
    return tuple(Reason(r["code"], r["text"], r.get("policy_id")) for r in reasons)


def _contents(body: bytes | None) -> Any:
    return None if body is None else canonical.parse(bytes(body), what="stored value")


def _row(row: dict[str, Any]) -> LedgerRow:
    return LedgerRow(
        id=row["id"],
        turn_id=row["turn_id"],
        session_id=row["session_id"],
        key=row["key"],
        mode=row["mode"],
        action=row["action"],
        asked_digest=row["asked_digest"],
        args_digest=row["args_digest"],
        asker_digest=row["asker_digest"],
        status=ActionStatus(row["status"]),
        reasons=_read_reasons(row["reasons"]),
        policy_ids=tuple(row["policy_ids"]),
        roles=tuple(row["roles"]),
        attempt=row["attempt"],
        first_cleared_at=row["first_cleared_at"],
        expires_in=float(row["expires_in"]) if row["expires_in"] is not None else 0.0,
        settled_at=row["settled_at"],
        item_id=row["item_id"],
        item_open=row["item_open"],
        delivered=tuple(row["delivered"]),
        error=row["error"],
        usd_micros=row["usd_micros"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        result=_contents(row["result"]),
        edited_args=_contents(row["edited"]),
        override=row["override"],
    )
