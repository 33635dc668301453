"""How long one policy decision takes in this process.

Three projects are made up: 100 policies over 20 actions, 10,000 policies over 2,000 actions, and 100 policies that all
name one action. Each is asked the same mix: of ten questions six are permitted, two need an approval (and are evaluated
twice) and two are forbidden. Agents, people, arguments, labels, session totals, autonomy and the generated schema take
part, as they do in the gate. The figure is the median over all questions of a run, and of several runs the median.

    python bench/decision.py
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from decimal import Decimal

from remit.domain.actions import ActionType, Effect, Raci
from remit.domain.agents import AgentSpec
from remit.domain.connections import ToolDefinition
from remit.domain.directory import Directory, Person, RoleSpec
from remit.governance.policy import PolicyEngine, PolicyQuestion

RUNS = 5
QUESTIONS = 2_000
KINDS = {"permit": 6, "needs_approval": 2, "forbid": 2}

_RACI = Raci(accountable="mara.lind", system_owner="mara.lind", risk_owner="ines.roy")
_TOOL = ToolDefinition(
    name="pay",
    input_schema={
        "type": "object",
        "properties": {
            "invoice": {"type": "string"},
            "amount": {"type": "number"},
            "currency": {"type": "string"},
            "note": {"type": "string"},
        },
        "required": ["invoice", "amount", "currency"],
    },
)
_AGENT = AgentSpec(
    title="Clerk",
    purpose="Pays invoices.",
    owner="mara.lind",
    escalation="mara.lind",
    workspace="finance",
    workflow="payables",
)
_DIRECTORY = Directory(
    people=(
        Person(id="mara.lind", name="Mara Lind", roles=("finance",), workspaces=("finance",)),
        Person(id="ines.roy", name="Ines Roy", roles=("risk",)),
    ),
    roles=(RoleSpec(id="finance", title="Finance"), RoleSpec(id="risk", title="Risk")),
)


def measure() -> dict[str, float]:
    """Median milliseconds of a decision, by number of policies; `approval_…` are those that are evaluated twice."""
    result: dict[str, float] = {}
    for name, actions, each in (("100", 20, 5), ("10000", 2_000, 5), ("one_action_100", 1, 100)):
        started = time.perf_counter()
        engine = project(actions, each)
        result[f"load_seconds_{name}"] = round(time.perf_counter() - started, 3)
        asked = questions(actions)
        for question in asked:  # slices are parsed at their first use
            engine.judge(question)
        gc.collect()
        runs = [run(engine, asked) for _ in range(RUNS)]
        result[name] = _median(runs, "all")
        result[f"approval_{name}"] = _median(runs, "needs_approval")
    return result


def project(actions: int, each: int) -> PolicyEngine:
    """An engine with `each` policies on every one of so many actions."""
    types = {
        f"bank{n}.pay": ActionType(title="Pay", effect=Effect.WRITE, raci=_RACI, resource="Invoice::{invoice}")
        for n in range(actions)
    }
    texts = {f"policies/bank{n}.cedar": _policies(n, each) for n in range(actions)}
    return PolicyEngine.load(texts, types, lambda _: _TOOL, _DIRECTORY, {"clerk": _AGENT})


def questions(actions: int) -> list[PolicyQuestion]:
    """The mix, spread over the actions."""
    amounts = {"permit": Decimal("49.9"), "needs_approval": Decimal(250), "forbid": Decimal(7_000)}
    kinds = [kind for kind, share in KINDS.items() for _ in range(share)]
    return [
        PolicyQuestion(
            agent="clerk",
            person=None,
            assisted=False,
            action=f"bank{n % actions}.pay",
            args={
                "invoice": f"in_{n}",
                "amount": amounts[kinds[(n // actions + n) % len(kinds)]],
                "currency": "USD",
                "note": "as agreed",
            },
            autonomy="supervised",
            labels=frozenset({"private"}),
            usd_micros=123_456,
            tokens=2_500,
            calls=7,
            workspace="finance",
            workflow="payables",
            trigger="api",
        )
        for n in range(max(QUESTIONS, actions))
    ]


def run(engine: PolicyEngine, asked: list[PolicyQuestion]) -> dict[str, float]:
    """Median milliseconds over all questions, and over those of each kind."""
    taken: dict[str, list[float]] = {"all": []}
    for question in asked:
        started = time.perf_counter()
        verdict = engine.judge(question)
        elapsed = (time.perf_counter() - started) * 1000
        taken["all"].append(elapsed)
        taken.setdefault(verdict.kind, []).append(elapsed)
    if set(taken) != {"all", *KINDS}:
        raise RuntimeError(f"the mix is not what it should be: {sorted(taken)}")
    return {kind: statistics.median(values) for kind, values in taken.items()}


def _policies(n: int, each: int) -> str:
    head = f'(principal, action == Action::"bank{n}.pay", resource)'
    asks = 'when { context.args.amount.greaterThan(decimal("100.00")) }'
    unless = 'unless { context.approved_by.contains("accountable") }'
    leaks = 'when { context.labels.contains("untrusted") && context.labels.contains("private") }'
    over = 'when { context.args.amount.greaterThan(decimal("5000.00")) }'
    texts = [
        f'@id("pay_{n}")\npermit {head} when {{ context.args.currency == "USD" }};',
        f'@id("over_100_{n}")\n@approval("accountable")\n@reason("over_100")\nforbid {head}\n{asks}\n{unless};',
        f'@id("over_5000_{n}")\nforbid {head}\n{over};',
        f'@id("leak_{n}")\nforbid {head}\n{leaks};',
    ]
    texts += [
        f'@id("busy_{n}_{k}")\nforbid {head}\n'
        f'when {{ context.session.calls > {500 + k} && context.autonomy != "autonomous" }};'
        for k in range(each - len(texts))
    ]
    return "\n\n".join(texts)


def _median(runs: list[dict[str, float]], kind: str) -> float:
    return round(statistics.median(r[kind] for r in runs), 4)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
