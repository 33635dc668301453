"""Checks of recovery and of the processes: what is settled, repeated, taken over and taken back."""

from __future__ import annotations

from tests.mutation import one

SQL = "storage/migrations/versions/0001_functions.sql"
RECOVERY = "tests/integration/road/test_recovery.py"
CRASHES, SESSIONS = "tests/acceptance/test_crashes.py", "tests/acceptance/test_sessions.py"

MUTATIONS = [
    # -- recovery
    one(
        "divergence is not seen by the road",
        "runtime/turn_road.py",
        "if row is not None and (row.action != call.action or row.asked_digest != call.digest):",
        "if False:",
        RECOVERY,
        "diverge or another_call",
    ),
    one(
        "divergence is not seen by the ledger",
        SQL,
        "if a.asked_digest <> it ->> 'asked_digest' or a.action <> it ->> 'action' then",
        "if false then",
        RECOVERY,
        "diverge",
    ),
    one(
        "two runs hold one clearance",
        SQL,
        "if a.nonce is distinct from it ->> 'nonce' then",
        "if false then",
        RECOVERY,
        "made_once",
    ),
    one(
        "a refused repeat did not happen",
        SQL,
        "if it ->> 'verdict' <> 'permit' then",
        "if false then",
        RECOVERY,
        "says_nothing_of_what_happened",
    ),
    one(
        "an old attempt settles a new one",
        SQL,
        "(it ->> 'attempt')::integer < a.attempt then",
        "false then",
        RECOVERY,
        "later_one",
    ),
    one(
        "settled twice", SQL, "    if a.status not in ('cleared', 'unknown') or (", "    if (", RECOVERY, "booked_once"
    ),
    one(
        "the key is honoured for ever",
        "runtime/attempts.py",
        "return now - first < action_type.idempotency.window",
        "return True",
        RECOVERY,
        "window or lookup",
    ),
    one(
        "absent proves something", "runtime/attempts.py", "if lookup.authoritative:", "if True:", RECOVERY, "authority"
    ),
    one(
        "everything may be repeated",
        "runtime/attempts.py",
        "            action_type.effect is Effect.READ\n            or is_builtin",
        "            True\n            or is_builtin",
        RECOVERY,
        "unknown",
    ),
    one(
        "what timed out is sent again",
        "runtime/attempts.py",
        'return answer.status == "unknown" and (',
        'return answer.status == "unknown" or (',
        RECOVERY,
        "timeout",
    ),
    one(
        "an unstorable result is lost",
        "governance/gate.py",
        "        return UNSTORABLE\n",
        "        raise\n",
        RECOVERY,
        "cannot_be_kept",
    ),
    one(
        "late answers leave people asked",
        SQL,
        "    if a.status = 'unknown' and it ->> 'by' is null then",
        "    if false then",
        RECOVERY,
        "late",
    ),
    # -- processes
    one(
        "nobody takes over",
        "runtime/worker.py",
        "        if dead:",
        "        if False:",
        CRASHES,
        "carries_on and admit",
    ),
    one(
        "lost turns stay lost",
        "runtime/worker.py",
        "for turn_id in executors.lost_turns(db, _LOST):",
        "for turn_id in ():",
        SESSIONS,
        "was_lost",
    ),
    one(
        "killing turns for ever",
        "runtime/turns.py",
        "opened.owned.failures > _MOST_FAILURES",
        "False",
        CRASHES,
        "keeps_killing",
    ),
    one(
        "pickles are read",
        "runtime/engine.py",
        "    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign]\n",
        "",
        SESSIONS,
        "pickle",
    ),
    one(
        "undone twice",
        "runtime/turns.py",
        'if action["undone_by"] not in {',
        "if False and None not in {",
        SESSIONS,
        "taken_back",
    ),
]
