"""Turns the newest results into docs/benchmarks.md, so that the page cannot say what no run has shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


Row = tuple[str, str, str]


def render(found: dict[str, Any]) -> str:
    """The page for one run's results."""
    machine = found["machine"]
    rows = [*_throughput(found), *_decisions(found["decision_p50_ms"]), *_living(found)]
    rows.extend(_triggers(found["triggers"]))
    rows.extend(_resuming(found["resume"]))
    people = found["priorities"]
    rows.append((f"the morning lists of {people['people']} people over 300 accounts", f"{people['seconds']} s", "10 s"))
    if "cockpit" in found:
        rows.extend(_cockpit(found["cockpit"]))
    rows.append(("`remit --help`, the whole process", f"{found['help_s']} s", "0.3 s"))
    return _PAGE.format(
        at=machine["at"],
        cores=machine["cores"],
        system=machine["system"],
        python=machine["python"],
        load=machine["load_before"],
        note=f"\n\nOf this run: {found['note']}." if "note" in found else "",
        rounds=found.get("cockpit", {}).get("rounds", 40),
        rows="\n".join(f"| {what} | {value} | {aim} |" for what, value, aim in rows),
    )


def _throughput(found: dict[str, Any]) -> list[Row]:
    steps, pairs = found["durable_steps_per_s"], found["pgbench_pairs_per_s"]
    private = found["pgbench_private_budgets_pairs_per_s"]
    return [
        ("governed actions a second, one worker, 50 sessions at once", f"{found['governed_actions_per_s']:,}", ""),
        (
            f"against durable steps of the engine ({steps:,}/s, 50 at once, nothing governed)",
            f"{found['governed_vs_durable_step_ratio']} x",
            "3.0 x",
        ),
        (
            f"against pgbench sending the same two transactions from 50 clients ({pairs:,}/s)",
            f"{found['governed_vs_pgbench_ratio']} x",
            "0.4 x",
        ),
        (
            f"the same without the budget that all share ({private:,}/s)",
            f"{found['governed_vs_pgbench_private_ratio']} x",
            "",
        ),
    ]


def _decisions(decision: dict[str, Any]) -> list[Row]:
    return [
        ("a decision in process, p50, 100 policies over 20 actions", f"{decision['100']} ms", "0.1 ms"),
        ("a decision, p50, 10,000 policies over 2,000 actions", f"{decision['10000']} ms", "0.1 ms"),
        ("a decision, p50, 100 policies on one action", f"{decision['one_action_100']} ms", "0.3 ms"),
    ]


def _living(found: dict[str, Any]) -> list[Row]:
    waiting, stop, failover = found["waiting"], found["stop"], found["failover"]
    count, behind = waiting["waiting_sessions"], failover["backlog"]["waiting_behind"]
    return [
        (f"{count:,} waiting sessions: growth of a worker's memory", f"{waiting['memory_growth_mb']} MB", "30 MB"),
        (
            "threads and child processes of the worker, before and with them",
            "{threads_before} and {children_before}, {threads_after} and {children_after}".format(**waiting),
            "the same",
        ),
        (
            "transactions a second of the idle system, before and with them",
            "{idle_transactions_per_s_before}, {idle_transactions_per_s_after}".format(**waiting),
            "the same",
        ),
        ("from an answer to its turn being at work", f"{waiting['answer_to_running_s']} s", "0.5 s"),
        (
            f"a stop with {stop['sessions']} sessions, {stop['turns_at_work']} at work: cleared after its commit",
            str(stop["cleared_after_commit"]),
            "0",
        ),
        ("from its commit until those turns had ended", f"{stop['turns_ended_after_s']} s", "2 s"),
        (
            "a worker killed with -9: until its turns went on elsewhere, slots free",
            f"{failover['free_slots']['all_taken_over_s']} s",
            "10 s",
        ),
        (
            f"the same with {behind} sessions waiting for a slot",
            f"{failover['backlog']['all_taken_over_s']} s",
            "they go first",
        ),
    ]


def _triggers(found: dict[str, Any]) -> list[Row]:
    due, hooks = found["due"], found["hooks"]
    return [
        (
            f"{due['due_at_once']} triggers due in the same moment, one worker: until all are enqueued, each once",
            f"{due['all_enqueued_s']} s",
            "2 s",
        ),
        ("until the first action of what they started", f"{due['first_action_s']} s", "10 s"),
        (
            f"a webhook's answer at {hooks['webhooks_per_s']} a second, while a worker works on what they start, p95",
            f"{hooks['p95_ms']} ms",
            "50 ms",
        ),
    ]


def _resuming(found: list[dict[str, Any]]) -> list[Row]:
    aims = {2_000: "0.5 s"}
    return [
        (
            f"a session with {one['actions']:,} actions and {one['waits']} waits goes on, from its answer to its end",
            f"{one['resume_s']} s",
            aims.get(one["actions"], "no square in it"),
        )
        for one in found
    ]


def _cockpit(found: dict[str, Any]) -> list[Row]:
    size = f"{found['actions']:,} actions in {found['sessions']:,} sessions, load average {found['load']}"
    rows = [
        (f"the cockpit's {name}, p95 of its slowest filter, {size}", f"{p95} ms", "150 ms")
        for name, p95 in found["pages_p95_ms"].items()
    ]
    tabs = found["idle_tabs"]
    rows.append((f"{tabs['tabs']} open tabs while nothing happens, of a core", f"{tabs['percent_of_a_core']} %", "5 %"))
    rows.append(("records counted for audit and insights a second", f"{found['counted_leaves_per_s']:,}", ""))
    return rows


_PAGE = """# Benchmarks

Written by `make bench` from its own results (`bench/results/latest.json`). Every comparison is a ratio within one
run, on the same PostgreSQL with fsync on; medians of several rounds on fresh databases.

This run: {at}, {cores} cores, {system}, Python {python}, load average {load} at the start. A machine that does
something else meanwhile changes the figures, and to a lesser degree the ratios.{note}

| what | measured | aim |
|---|---|---|
{rows}

## How they were taken

- **Governed actions** (`bench/throughput.py`): each goes through the same code as an agent's call: canonical
  arguments, scope, RACI, JSON Schema, policy with a generated schema, caps, labels, its session's own budget and
  one day budget that all sessions share, a written intent, a no-op in place of the tool, settlement with an audit
  record. The client and the database share the machine.
- **Durable steps** (`bench/baselines.py`): the engine's async steps, one process, portable JSON, nothing of ours.
- **pgbench**: prepared statements, fifty clients, each with a session of its own; every pair is two transactions of
  its own. The road shares transactions between the actions that wait for one
  ([why](decisions/0007-group-commit.md)), which is how it comes near to, or with the shared budget row may pass,
  clients that do not.
- **Waiting sessions** (`bench/living.py`): one session waits for real, the others are copies of its rows, which is
  all that a waiting session is.
- **Triggers** (`bench/triggers.py`): schedules of the tests' shop, made due by one statement; signed webhooks, each on
  a connection of its own, to a server process beside the worker. Sender, server, worker and database share the
  machine.
- **Resuming** (`bench/resume.py`): one program with so many recorded actions, run again from its top after the last
  answer. Twice the actions take at most about twice the time.
- **Morning lists** (`bench/priorities.py`): the example's agent, its servers and one worker, fired for everybody.
- **The cockpit** (`bench/cockpit.py`, also alone): a database filled by statements (`bench/crowd.sql`), its log counted
  by the worker's own code; every page asked for {rounds} times in each of several filters, as somebody who sees all
  and as somebody who sees one workspace. It is the server's time from request to answer, without a browser or a
  network. Open tabs are event streams on a server process of its own, whose processor time the system tells; what
  the database uses for them is not in it.
- **Stops and failover**: real workers and real programs; leases of 4 s in the failover figures.

## Where the time goes

For one governed action the worker spends about half a millisecond of processor time: a third in Cedar, a sixth in
JSON Schema validation, the rest in building the intent, JSON and the driver. PostgreSQL spends about 0.6 ms on its
two transactions, half of it in each: the row of the ledger, its contents, its record and their indexes. Two thirds
of a policy decision is Cedar itself, most of that parsing the context against the schema.
"""


def write(found: dict[str, Any]) -> None:
    """Write the page."""
    PAGE.write_text(render(found), encoding="utf-8")
