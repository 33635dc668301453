"""Drops one check of the product at a time and runs the tests that should notice: `make mutate`.

    python -m tests.mutations [--list] [NAME…]

Every mutation is made in a copy of `src`; nothing in the checkout changes. Exit 1 if any went unnoticed. A mutation
whose text is not found any more is an error: bring it up to date with the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import mutations_cockpit, mutations_running
from tests.mutation import ROOT, Mutation, mutated, one

SQL = "storage/migrations/versions/0001_functions.sql"
REFUSALS, RECOVERY, APPROVALS, LIMITS, STOPS = (
    f"tests/integration/road/test_{name}.py" for name in ("gate_refusals", "recovery", "approvals", "limits", "stops")
)
CRASHES, ZOMBIES, SESSIONS = (f"tests/acceptance/test_{name}.py" for name in ("crashes", "zombies", "sessions"))


MUTATIONS = [
    # -- stops, versions, fencing
    one("stop is not looked at", SQL, "= 'permit' and p_any_stop", "= 'permit' and false", STOPS),
    one(
        "stop without the lock",
        SQL,
        "    perform pg_advisory_xact_lock_shared(remit.governance_lock());\n",
        "",
        STOPS,
        "hundreds",
    ),
    one("paused sessions go on", SQL, "    if s.status <> 'running' then", "    if false then", STOPS, "set_aside"),
    one(
        "old snapshots count",
        SQL,
        "::bigint <> current_version then",
        "::bigint is null then",
        REFUSALS,
        "change_of_the_project",
    ),
    one("epoch is not compared", SQL, "s.epoch <> (it ->> 'epoch')::bigint or ", "", RECOVERY, "stale_epoch"),
    one(
        "executor is not compared",
        SQL,
        " or s.executor is distinct from p_executor",
        "",
        RECOVERY,
        "another_executor",
    ),
    Mutation(
        "a run need not own its turn",
        (
            ("storage/runs.py", "and w.status = 'PENDING' and w.executor_id = %(executor)s", ""),
            (
                "storage/runs.py",
                "%(workflow)s \n      and e.id = %(executor)s and e.expires_at > clock_timestamp()",
                "%(workflow)s and e.id = %(executor)s",
            ),
        ),
        ZOMBIES,
        "epoch or at_work",
    ),
    one(
        "a clearance has no deadline",
        "governance/gate.py",
        "deadline=deadline + self._clearance.total_seconds()",
        "deadline=deadline + 3600",
        ZOMBIES,
        "after_its_deadline",
    ),
    one(
        "a worker ignores its lease", "runtime/worker.py", "os._exit(EXIT_LEASE_LOST)", "pass", ZOMBIES, "lease_ran_out"
    ),
    # -- budgets, limits
    one("budgets are not looked at", SQL, "v_over := remit.budget_over(it -> 'budgets');", "v_over := null;", LIMITS),
    one("blocked budgets spend", SQL, "    where b.blocked\n       or b.usd", "    where b.usd", LIMITS, "overrun"),
    one(
        "an unknown outcome gives its money back",
        SQL,
        "if v_status <> 'unknown' and jsonb_array_length(a.reservations)",
        "if jsonb_array_length(a.reservations)",
        RECOVERY,
        "says_nothing_of_what_happened",
    ),
    one("rates are not looked at", SQL, "if have < 1 then", "if false then", LIMITS, "wait or rate"),
    one("concurrency is not looked at", SQL, "if live >= l.concurrency then", "if false then", LIMITS, "concurrency"),
    one(
        "dead calls hold their places",
        SQL,
        "l.key and expires_at > clock_timestamp() and",
        "l.key and",
        LIMITS,
        "leaks_no_place",
    ),
    one(
        "a model needs no price",
        "governance/checks.py",
        "if (spec is None or spec.price is None) and",
        "if False and",
        LIMITS,
        "without_a_price",
    ),
    one(
        "the cap of one action",
        "governance/judgement.py",
        "        if over is not None:",
        "        if False:",
        REFUSALS,
    ),
    one(
        "loops are not counted",
        "runtime/turn_road.py",
        "            self._loops.watch(call)\n        elif",
        "            pass\n        elif",
        LIMITS,
        "again_and_again",
    ),
    # -- approvals
    Mutation(
        "an approval is for any arguments",
        (
            ("governance/approvals.py", "a.args_digest == args_digest and ", ""),
            (SQL, "p.args_digest = it ->> 'args_digest'", "true"),
        ),
        APPROVALS,
    ),
    Mutation(
        "an approval is for any policies",
        (
            ("governance/approvals.py", "a.determining == determining and ", ""),
            (SQL, "p.determining = it ->> 'determining'", "true"),
        ),
        APPROVALS,
    ),
    Mutation(
        "an approval lasts for ever",
        (
            ("governance/approvals.py", "a.used or a.expires_at > now", "True"),
            (SQL, "                  and (p.expires_at > clock_timestamp() or v_repeat)\n", ""),
        ),
        APPROVALS,
    ),
    one(
        "an approval is used again and again",
        SQL,
        " and (p.used_at is null or v_repeat)",
        "",
        APPROVALS,
        "between_judgement or no_approval",
    ),
    Mutation(
        "one person fills two roles",
        (
            ("governance/approvals.py", "if len({a.person for a in live}) < len({a.role for a in live}):", "if False:"),
            (SQL, "select count(distinct person) from remit.approvals", "select count(*) from remit.approvals"),
        ),
        APPROVALS,
        "two_roles",
    ),
    one(
        "entitlement is not checked at execution",
        "governance/judgement.py",
        " and a.person in still[a.role]",
        "",
        APPROVALS,
    ),
    one(
        "the requester approves",
        "governance/approvals.py",
        "    return frozenset({*editors, *([requester] if",
        "    return frozenset({*editors, *([] if",
        APPROVALS,
        "requester",
    ),
    one(
        "the editor approves",
        "governance/approvals.py",
        "    return frozenset({*editors, *(",
        "    return frozenset({*(",
        APPROVALS,
        "editor",
    ),
    one(
        "expired items are decided",
        "governance/desk.py",
        "if item.expires_at is not None and item.expires_at <= datetime.now(UTC):",
        "if False:",
        APPROVALS,
        "too_late",
    ),
    one(
        "a second effect is not asked about",
        SQL,
        "if it ->> 'business_key' is not null and not v_repeat",
        "if false and not v_repeat",
        APPROVALS,
        "second or two_processes",
    ),
    one(
        "second effects pass each other",
        SQL,
        "perform pg_advisory_xact_lock(k) from (",
        "perform k from (",
        APPROVALS,
        "two_processes",
    ),
    # -- scope, identity, RACI, arguments
    one(
        "everything is in scope",
        "governance/checks.py",
        "return call.action in agent.tools\n",
        "return True\n",
        REFUSALS,
    ),
    one(
        "tools need no pin",
        "governance/checks.py",
        "if governance.project.tool(call.action) is None:",
        "if False:",
        REFUSALS,
    ),
    one("changed tools run", "governance/checks.py", "    if changed:", "    if False:", REFUSALS),
    one(
        "nobody answers",
        "governance/judgement.py",
        "            or checks.raci(governance, action_type, request.call)\n",
        "",
        REFUSALS,
    ),
    one("suspended agents act", "governance/checks.py", "if agent in governance.suspended:", "if False:", REFUSALS),
    one(
        "acting for whoever left", "governance/checks.py", "if person is not None and not", "if False and not", REFUSALS
    ),
    one("required arguments", "governance/checks.py", "if missing is not None:", "if False:", REFUSALS),
    one("any arguments", "governance/checks.py", "    if error is not None:", "    if False:", REFUSALS),
    one(
        "labels are those of long ago",
        SQL,
        "if not (s.labels <@ array(",
        "if false and not (s.labels <@ array(",
        REFUSALS,
        "labels",
    ),
    one(
        "a forged clearance",
        "runtime/attempts.py",
        "if not self._gate.is_genuine(clearance):",
        "if False:",
        REFUSALS,
        "mint",
    ),
    one(
        "arguments of any size",
        "runtime/turn_road.py",
        "if len(call.body) > canonical.MAX_BYTES:",
        "if False:",
        REFUSALS,
        "megabytes",
    ),
    *mutations_running.MUTATIONS,
    *mutations_cockpit.MUTATIONS,
]


def run(mutation: Mutation, folder: Path) -> str:
    """Make a mutation and run its tests: `noticed`, `UNNOTICED`, or that the tests themselves fail."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text in mutated(mutation).items():
        (source / "remit" / file).write_text(text)
    command = [sys.executable, "-m", "pytest", mutation.tests, "-x", "-q", "-p", "no:cacheprovider", "--timeout=60"]
    if mutation.only:
        command += ["-k", mutation.only]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 1 and " failed" in done.stdout:
        return "noticed"
    return "UNNOTICED" if done.returncode == 0 else f"BROKEN ({done.returncode}): {done.stdout[-600:]}"


def main(names: list[str]) -> int:
    """Run the mutations whose names hold one of the given texts; all if none is given."""
    wanted = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    bad = 0
    for mutation in wanted:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="remit-mutation-") as folder:
            said = run(mutation, Path(folder))
        bad += said != "noticed"
        print(f"{said:10} {mutation.name} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
    print(f"{len(wanted) - bad} of {len(wanted)} were noticed")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    if "--list" in sys.argv:
        print("\n".join(m.name for m in MUTATIONS))  # noqa: T201
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
