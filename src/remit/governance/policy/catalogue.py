"""Action types and policies brought together: which policies speak about which action, and what that action must carry.

The plan of an action is its slice (every policy whose head can match it: those that name it, those that name one of
its groups, those that name no action), the arguments and facts that the slice reads, and the declaration of the
action in the generated Cedar schema.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from remit.domain.actions import MODEL_REQUEST, ActionType, Effect
from remit.domain.connections import ToolDefinition
from remit.errors import Problem
from remit.governance.policy.reading import Policy, Read
from remit.governance.policy.resources import ResourceTemplate, parse_template
from remit.governance.policy.shapes import Leaf, Path, Wanted, map_arguments
from remit.governance.policy.shapes import Mapping as ArgumentMapping
from remit.governance.policy.statements import quote
from remit.governance.policy.vocabulary import PRINCIPALS, ContextPlan, plan_context

Tools = Callable[[str], ToolDefinition | None]
Where = Callable[[str], tuple[str, int, int]]
"""File, line and column at which an action type is declared."""

BUILT_IN_GROUPS = ("any", "read", "write")
MODEL_TYPE = ActionType(title="Ask a language model", effect=Effect.READ, resource="Model::{model}")
_MODEL_TOOL = ToolDefinition(
    name="request",
    input_schema={"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]},
)
_OWN_RESOURCE = ResourceTemplate("ActionType", ("",), ())


@dataclass(frozen=True)
class ActionPlan:
    """Everything that judging one action needs."""

    name: str
    type: ActionType
    groups: tuple[str, ...]
    slice: tuple[Policy, ...]
    """In the order of their files."""
    context: ContextPlan
    asking: ContextPlan
    """What permits and the policies that ask for approval read: all that a second evaluation needs."""
    absent: tuple[Path, ...]
    """Arguments that a policy reads and the tool does not describe; refused if they are given after all."""
    resource: ResourceTemplate

    @cached_property
    def reads_groups(self) -> bool:
        """True if a policy asks which groups the action belongs to, which only its own entity tells."""
        return any(p.scope.operator == "in" or p.mentioned_actions for p in self.slice)

    def resource_id(self, args: dict[str, Any]) -> str:
        """The id of what is acted on. Raises UnfitError."""
        return self.name if self.resource is _OWN_RESOURCE else self.resource.render(args)

    def declaration(self, context: ContextPlan) -> str:
        """The action in the Cedar schema."""
        return (
            f"action {quote(self.name)} in [{', '.join(quote(g) for g in self.groups)}] appliesTo {{\n"
            f"  principal: [Agent, Person], resource: [{self.resource.entity_type}],\n"
            f"  context: {context.declaration()}\n}};\n"
        )


@dataclass(frozen=True)
class Catalogue:
    """All plans, by action; `groups` holds the members of every group that is declared or built in."""

    plans: dict[str, ActionPlan]
    groups: dict[str, tuple[str, ...]]
    resource_types: frozenset[str]

    def covered(self, policy: Policy) -> tuple[str, ...]:
        """The actions that a policy's head can match."""
        names = policy.scope.names
        match policy.scope.operator:
            case "all":
                return tuple(self.plans)
            case "==":
                return tuple(n for n in names if n in self.plans)
            case _:
                found = {m for n in names for m in ((n,) if n in self.plans else self.groups.get(n, ()))}
                return tuple(sorted(found))

    def schema(self, actions: Iterable[str], *, types: Iterable[str] = (), extra: Iterable[str] = ()) -> str:
        """The Cedar schema of some actions: readable text. `extra` are action names to declare without a request."""
        plans = [self.plans[a] for a in actions]
        kinds = {p.resource.entity_type for p in plans} | (self.resource_types & set(types))
        groups = {g for p in plans for g in p.groups} | (set(extra) - {p.name for p in plans})
        lines = [f"entity {kind};\n" for kind in sorted(kinds)]
        lines += [f"action {quote(group)};\n" for group in sorted(groups)]
        return PRINCIPALS + "".join(lines) + "".join(p.declaration(p.context) for p in plans)

    def slice_schema(self, plan: ActionPlan, context: ContextPlan) -> str:
        """The Cedar schema that one action is judged with, with everything that its policies mention."""
        names = {n for p in plan.slice for n in (*p.scope.names, *p.mentioned_actions)} - {plan.name}
        types = {t for p in plan.slice for t in p.mentioned_types}
        kinds = {plan.resource.entity_type} | (self.resource_types & types)
        lines = [f"entity {kind};\n" for kind in sorted(kinds)]
        lines += [f"action {quote(name)};\n" for name in sorted(names | set(plan.groups))]
        return PRINCIPALS + "".join(lines) + plan.declaration(context)


def compile_catalogue(
    policies: list[Policy], actions: dict[str, ActionType], tools: Tools, where: Where
) -> tuple[Catalogue, list[Problem]]:
    """Build every action's plan. Problems are at the policy that reads what cannot be read, or at the action type."""
    types = {MODEL_REQUEST: MODEL_TYPE, **actions}
    problems: list[Problem] = []
    groups: dict[str, list[str]] = {g: [] for g in BUILT_IN_GROUPS}
    index = _Index(policies, set(types))
    plans: dict[str, ActionPlan] = {}
    for name, action in types.items():
        problems += [
            Problem(*where(name), f"the group {group} of {name} is also an action type", "rename the group")
            for group in action.groups
            if group in types
        ]
        own = _groups(name, action, types)
        for group in own:
            groups.setdefault(group, []).append(name)
        tool = _MODEL_TOOL if action is MODEL_TYPE else tools(name)
        plans[name] = _plan(name, action, tool, own, index.slice(name, own), where, problems)
    resource_types = frozenset(p.resource.entity_type for p in plans.values())
    members = {g: tuple(m) for g, m in sorted(groups.items())}
    return Catalogue(plans, members, resource_types), problems


class _Index:
    """Policies by the names in their heads, so that slicing costs what the slice has."""

    def __init__(self, policies: list[Policy], actions: set[str]) -> None:
        self._order = {p.id: n for n, p in enumerate(policies)}
        self._everywhere: list[Policy] = []
        self._by_name: defaultdict[str, list[Policy]] = defaultdict(list)
        for policy in policies:
            if policy.scope.operator == "all":
                self._everywhere.append(policy)
            for name in policy.scope.names:
                if policy.scope.operator == "in" or name in actions:
                    self._by_name[name].append(policy)

    def slice(self, name: str, groups: tuple[str, ...]) -> tuple[Policy, ...]:
        """The policies that speak about one action."""
        found = {p.id: p for p in self._everywhere}
        for key in (name, *groups):
            found.update((p.id, p) for p in self._by_name.get(key, ()))
        return tuple(sorted(found.values(), key=lambda p: self._order[p.id]))


def _groups(name: str, action: ActionType, types: Mapping[str, ActionType]) -> tuple[str, ...]:
    built_in = {"any"} if name == MODEL_REQUEST else {"any", action.effect.value}
    return tuple(sorted(built_in | (set(action.groups) - set(BUILT_IN_GROUPS) - types.keys())))


def _plan(
    name: str,
    action: ActionType,
    tool: ToolDefinition | None,
    groups: tuple[str, ...],
    policies: tuple[Policy, ...],
    where: Where,
    problems: list[Problem],
) -> ActionPlan:
    reads = {(p, r) for p in policies for r in p.reads}
    template = _template(name, action, where, problems)
    schema = _visible(tool.input_schema, action) if tool is not None else {}
    mapping = _mapping(action, schema, {r for _, r in reads})
    context = plan_context(action, {r for _, r in reads}, mapping)
    if tool is not None:
        problems += _resource_problems(name, template, schema, action, where)
        problems += _read_problems(name, action, mapping, reads)
        if "money" in context.groups:
            problems += _money_problems(name, action, mapping, where)
    else:
        problems += _unpinned_problems(name, action, reads)
    asking = {r for p, r in reads if p.effect == "permit" or p.roles}
    return ActionPlan(
        name=name,
        type=action,
        groups=groups,
        slice=policies,
        context=context,
        asking=plan_context(action, asking, _mapping(action, schema, asking)),
        absent=mapping.absent,
        resource=template,
    )


def _mapping(action: ActionType, schema: dict[str, Any], reads: set[Read]) -> ArgumentMapping:
    return map_arguments(schema, _wanted(action, reads), frozenset(action.require), action.defaults)


def _unpinned_problems(name: str, action: ActionType, reads: set[tuple[Policy, Read]]) -> Iterable[Problem]:
    for policy, read in sorted(reads, key=_by_place):
        if any(_arguments(action, read)):
            yield policy.statement.problem(
                f"nothing is known of the arguments of {name}: its tool is not pinned",
                "pin the connection's tools with `remit connections pin`",
                offset=policy.offset(read.path),
            )


def _by_place(pair: tuple[Policy, Read]) -> tuple[str, int, int, Path]:
    policy, read = pair
    return policy.statement.file, policy.statement.line, policy.statement.column, read.path


def _visible(schema: dict[str, Any], action: ActionType) -> dict[str, Any]:
    """The tool's schema without the argument that carries the idempotency key, which agents never see."""
    hidden = action.idempotency.argument if action.idempotency else None
    properties = schema.get("properties")
    if hidden is None or not isinstance(properties, dict):
        return schema
    return {**schema, "properties": {k: v for k, v in properties.items() if k != hidden}}


def _wanted(action: ActionType, reads: set[Read]) -> Wanted:
    wanted = Wanted()
    for read in reads:
        for path in _arguments(action, read):
            wanted.add(path, has=read.has and read.path[0] == "args")
    return wanted


def _arguments(action: ActionType, read: Read) -> tuple[Path, ...]:
    """The paths in the arguments that a policy looks at; `context.money` always takes the amount and the currency."""
    if read.path[:1] == ("args",):
        return (read.path[1:],)
    if read.path[:1] == ("money",) and action.money is not None:
        return (action.money.amount,), (action.money.currency,)
    return ()


def _read_problems(
    name: str, action: ActionType, mapping: ArgumentMapping, reads: set[tuple[Policy, Read]]
) -> Iterable[Problem]:
    by_path = {t.path: t for t in mapping.troubles}
    for policy, read in sorted(reads, key=_by_place):
        if read.path == ("args",) and not read.has:
            yield policy.statement.problem(
                "`context.args` is used as a whole", "read one argument of it", offset=policy.offset(read.path)
            )
        offset = policy.offset(read.path)
        if read.path[:2] == ("money", "moved_today") and action.money is not None and not action.caps.per_day:
            yield policy.statement.problem(
                f"nothing counts the money that {name} moves in a day, so every call would be refused",
                "declare `caps.per_day` of the action type",
                offset=offset,
            )
        for path in _arguments(action, read):
            for end in range(1, len(path) + 1):
                if (trouble := by_path.get(path[:end])) is not None:
                    if read.path[0] == "args":
                        offset = policy.offset(("args", *path[:end]))
                    yield policy.statement.problem(f"{name}: {trouble.message}", trouble.mend, offset=offset)


def _money_problems(name: str, action: ActionType, mapping: ArgumentMapping, where: Where) -> Iterable[Problem]:
    if action.money is None:
        return
    for argument, kinds in ((action.money.amount, {"decimal", "Long"}), (action.money.currency, {"String"})):
        shape = mapping.fields.fields.get(argument)
        if (argument,) in mapping.absent:
            yield Problem(*where(name), f"the money of {name}: its tool has no argument {argument}", "name one it has")
        elif not isinstance(shape, Leaf) or shape.many or shape.cedar not in kinds:
            yield Problem(
                *where(name),
                f"the money of {name}: {argument} is not what policies can judge",
                "the amount is a number, the currency text",
            )


def _template(name: str, action: ActionType, where: Where, problems: list[Problem]) -> ResourceTemplate:
    if action.resource is None:
        return _OWN_RESOURCE
    try:
        return parse_template(action.resource, name)
    except ValueError as error:
        problems.append(Problem(*where(name), str(error), "write for example `resource: Charge::{charge_id}`"))
        return _OWN_RESOURCE


def _resource_problems(
    name: str,
    template: ResourceTemplate,
    schema: dict[str, Any],
    action: ActionType,
    where: Where,
) -> Iterable[Problem]:
    wanted = Wanted()
    for hole in template.holes:
        wanted.add(hole, has=False)
    mapping = map_arguments(schema, wanted, frozenset(action.require), action.defaults)
    for trouble in mapping.troubles:
        yield Problem(*where(name), f"the resource of {name}: {trouble.message}", trouble.mend)
    for path in mapping.absent:
        yield Problem(
            *where(name), f"the resource of {name}: its tool has no argument {'.'.join(path)}", "name one that it has"
        )
    for hole in template.holes:
        shape: Any = mapping.fields
        for part in hole:
            shape = shape.fields.get(part) if not isinstance(shape, Leaf) and shape is not None else None
        if isinstance(shape, Leaf) and (shape.many or shape.cedar not in {"String", "Long"}):
            yield Problem(
                *where(name),
                f"the resource of {name}: {'.'.join(hole)} is a {shape.declaration()}",
                "use text or an integer",
            )
