"""The words that policies may use besides the arguments: attributes of the context, their types, their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

from remit.domain.actions import ActionType, Cap
from remit.domain.budgets import Usage, from_micros
from remit.domain.decisions import ReasonCode
from remit.governance.policy.actors import uid
from remit.governance.policy.question import PolicyQuestion
from remit.governance.policy.reading import Read
from remit.governance.policy.shapes import Leaf, Mapping, Path, UnfitError, decimal_text, look, to_cedar

PRINCIPALS = """\
entity Role;
entity Workspace;
entity Workflow;
entity Person in [Role, Workspace] = {"id": String};
entity Agent in [Workspace, Workflow] = {
  "owner": String, "layer": String, "workspace": Workspace, "workflow"?: Workflow
};
"""
"""The part of the schema that every project shares."""

GROUPS = frozenset({"money", "session", "today"})
"""Attributes that are records. `money` exists for action types that declare which arguments carry it."""

_EXACT = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the context: its Cedar type, and where its value comes from.

    A value of None leaves out an optional attribute; of any other it says that the gate could not tell.
    """

    cedar: str
    value: Callable[[ActionType, PolicyQuestion], Any]
    optional: bool = False


def _usage(usage: Callable[[PolicyQuestion], Usage | None]) -> dict[str, Attribute]:
    def read(one: Callable[[Usage], Any]) -> Callable[[ActionType, PolicyQuestion], Any]:
        def value(_: ActionType, question: PolicyQuestion) -> Any:
            used = usage(question)
            return None if used is None else one(used)

        return value

    return {
        "usd": Attribute("decimal", read(lambda u: _upwards(from_micros(u.usd_micros)))),
        "tokens": Attribute("Long", read(lambda u: u.tokens)),
        "calls": Attribute("Long", read(lambda u: u.calls)),
    }


def _amount(action: ActionType, question: PolicyQuestion) -> str | None:
    if action.money is None:
        return None
    amount = to_cedar(look(question.args, (action.money.amount,)), Leaf("decimal", text=True), (action.money.amount,))
    return str(amount)


def _currency(action: ActionType, question: PolicyQuestion) -> str | None:
    if action.money is None:
        return None
    currency = look(question.args, (action.money.currency,))
    return str(to_cedar(currency, Leaf("String"), (action.money.currency,)))


ATTRIBUTES: dict[Path, Attribute] = {
    ("approved_by",): Attribute("Set<String>", lambda _t, _q: []),
    ("assisted",): Attribute("Bool", lambda _t, q: q.assisted),
    ("autonomy",): Attribute("String", lambda _t, q: q.autonomy),
    ("effect",): Attribute("String", lambda t, _q: t.effect.value),
    ("labels",): Attribute("Set<String>", lambda _t, q: sorted(q.labels)),
    ("money", "amount"): Attribute("decimal", _amount),
    ("money", "currency"): Attribute("String", _currency),
    ("money", "cap_each"): Attribute("decimal", lambda t, q: _cap(t.caps.each, _currency(t, q)), optional=True),
    ("money", "cap_per_day"): Attribute("decimal", lambda t, q: _cap(t.caps.per_day, _currency(t, q)), optional=True),
    ("money", "moved_today"): Attribute(
        "decimal", lambda _t, q: None if q.moved_today is None else _upwards(q.moved_today)
    ),
    ("on_behalf_of",): Attribute(
        "Person", lambda _t, q: None if q.person is None else {"__entity": uid("Person", q.person)}, optional=True
    ),
    ("reads",): Attribute("Set<String>", lambda t, _q: sorted(t.reads)),
    ("reversible",): Attribute("Bool", lambda t, _q: t.reversible),
    ("risk",): Attribute("String", lambda t, _q: t.risk.value),
    ("sends",): Attribute("Set<String>", lambda t, _q: sorted(t.sends)),
    **{("session", k): v for k, v in _usage(lambda q: Usage(q.usd_micros, q.tokens, q.calls)).items()},
    **{("today", k): v for k, v in _usage(lambda q: q.today).items()},
    ("trigger",): Attribute("String", lambda _t, q: q.trigger),
    ("workflow",): Attribute("String", lambda _t, q: q.workflow or None, optional=True),
    ("workspace",): Attribute("String", lambda _t, q: q.workspace),
}
"""Everything in the context but `args`, by path."""


@dataclass(frozen=True)
class ContextPlan:
    """What some policies of one action read, and so what the engine is told: no more, no less."""

    args: Mapping | None
    paths: tuple[Path, ...]
    groups: tuple[str, ...]

    def declaration(self) -> str:
        """The Cedar record type."""
        parts = [f'"args": {self.args.fields.declaration()}'] if self.args is not None else []
        parts += [_declared(path) for path in self.paths if len(path) == 1]
        for group in self.groups:
            inner = ", ".join(_declared(path) for path in self.paths if path[0] == group)
            parts.append(f'"{group}": {{{inner}}}')
        return "{" + ", ".join(sorted(parts)) + "}"

    def build(self, action: ActionType, question: PolicyQuestion) -> dict[str, Any]:
        """The context in the engine's JSON. Raises UnfitError where an argument does not fit or a fact is not known."""
        context: dict[str, Any] = {group: {} for group in self.groups}
        if self.args is not None:
            context["args"] = to_cedar(question.args, self.args.fields, ())
        for path in self.paths:
            attribute = ATTRIBUTES[path]
            value = attribute.value(action, question)
            if value is not None:
                (context if len(path) == 1 else context[path[0]])[path[-1]] = value
            elif not attribute.optional:
                dotted = ".".join(path)
                raise UnfitError(
                    ReasonCode.POLICY_ERROR, f"context.{dotted} is not known here, and a policy judges by it"
                )
        return context


def plan_context(action: ActionType, reads: set[Read], args: Mapping) -> ContextPlan:
    """The context for what is read; `args` maps the arguments that are."""
    visible = {r for r in reads if r.path and (r.path[0] != "money" or action.money is not None)}
    paths = {r.path[:n] for r in visible for n in (1, 2) if r.path[:n] in ATTRIBUTES}
    for read in visible:
        if len(read.path) == 1 and not read.has:  # a record as a whole: all of it
            paths |= {p for p in ATTRIBUTES if len(p) > 1 and p[0] == read.path[0]}
    tops = {r.path[0] for r in visible}
    return ContextPlan(args if "args" in tops else None, tuple(sorted(paths)), tuple(sorted(tops & GROUPS)))


def _declared(path: Path) -> str:
    attribute = ATTRIBUTES[path]
    return f'"{path[-1]}"{"?" if attribute.optional else ""}: {attribute.cedar}'


def _upwards(amount: Decimal) -> str:
    """Rounded up to four places: a policy that forbids from some total on never sees less than that."""
    return decimal_text(amount.quantize(Decimal("0.0001"), ROUND_CEILING, _EXACT), "a total")


def _cap(caps: tuple[Cap, ...], currency: Any) -> str | None:
    found = [c.amount for c in caps if c.currency == currency]
    return decimal_text(min(found), "cap") if found else None
