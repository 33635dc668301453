"""Policies read once, at load: what each is called, which actions it speaks about, what it reads, whom it asks.

A policy is read through the engine's own syntax tree, never by looking at its text, so that what is checked here is
what is evaluated later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cedarpy

from remit.errors import Problem
from remit.governance.policy.statements import Statement

Path = tuple[str, ...]
"""Attributes from `context` downwards: `("args", "amount")`."""

APPROVED_BY: Path = ("approved_by",)
SHAPE_OF_APPROVAL = (
    'write `@approval("role")` and `forbid (…) when { … } unless { context.approved_by.contains("role") };`'
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_ROLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SEARCHED = 1_000
"""How many tokens of a policy that cannot be parsed are tried in search of the wrong one."""
_CULPRITS = (re.compile(r"got `(\w+)"), re.compile(r"[`']([^`']+)[`']"), re.compile(r": (\w+)$"))
"""How the engine's messages name the word that they are about."""
_BEFORE_ATTRIBUTE = frozenset({".", "has", "["})


@dataclass(frozen=True, slots=True)
class Read:
    """One place where a policy looks at the context; `has` where it only asks whether something is there."""

    path: Path
    has: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """Which actions a policy's head names; `operator` is `all`, `==` or `in`."""

    operator: Literal["all", "==", "in"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """Whom a policy's head names; without anything it is everybody."""

    kind: str | None = None
    """The type after `is`."""
    entity: tuple[str, str] | None = None
    """Type and id after `==` or `in`."""

    def covers(self, belongs: frozenset[tuple[str, str]]) -> bool:
        """True if somebody may be meant who is and belongs to these (type, id) pairs, conditions aside."""
        return (self.kind is None or any(kind == self.kind for kind, _ in belongs)) and (
            self.entity is None or self.entity in belongs
        )


@dataclass(frozen=True, eq=False)
class Policy:
    """One policy: `id` is its `@id`, `roles` those of its `@approval`."""

    id: str
    effect: Literal["permit", "forbid"]
    statement: Statement
    annotations: dict[str, str]
    scope: Scope
    reads: frozenset[Read]
    roles: tuple[str, ...]
    mentioned_actions: frozenset[str]
    mentioned_types: frozenset[str]
    principal: Head = Head()
    mentioned: frozenset[tuple[str, str]] = frozenset()
    """Type and id of every entity that stands in it, actions left out."""

    @property
    def where(self) -> str:
        """File and line: `policies/refunds.cedar:12`."""
        return f"{self.statement.file}:{self.statement.line}"

    def reason_code(self, otherwise: str) -> str:
        """The machine reason of `@reason`, or the given one."""
        return self.annotations.get("reason") or otherwise

    def sentence(self, says: str) -> str:
        """What to tell a person: `@advice`, else `@description`, else what the policy says, such as `forbids this`."""
        own = self.annotations.get("advice") or self.annotations.get("description")
        return own or f"the policy {self.id} {says}"

    def offset(self, path: Path) -> int:
        """Where in the statement the last attribute of a path is read, as well as its text tells."""
        return self.statement.find(path[-1], after=_BEFORE_ATTRIBUTE) if path else 0


class _Tree:
    """One walk over a policy's conditions, collecting what it reads and mentions."""

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.actions: set[str] = set()
        self.types: set[str] = set()
        self.entities: set[tuple[str, str]] = set()

    def walk(self, root: Any) -> None:
        """Collect from one expression, iteratively: depth is the input's business, not the stack's."""
        stack = [root]
        while stack:
            node = stack.pop()
            if not isinstance(node, dict):
                continue
            for operator, operand in node.items():
                stack.extend(self._visit(operator, operand))

    def _visit(self, operator: str, operand: Any) -> Iterator[Any]:
        match operator:
            case "Value":
                self._value(operand)
            case "Var":
                if operand == "context":
                    self.reads.append(Read((), has=False))
            case "." | "has":
                base = _path(operand["left"])
                if base is None:
                    yield operand["left"]
                elif base[0] == "context":
                    self.reads.append(Read((*base[1:], operand["attr"]), has=operator == "has"))
            case "Record":
                yield from operand.values()
            case "is":
                self.types.add(operand["entity_type"])
                yield operand["left"]
                yield operand.get("in")
            case "like":
                yield operand["left"]
            case _:  # operators with named operands, and functions with a list of them
                yield from operand.values() if isinstance(operand, dict) else operand

    def _value(self, value: Any) -> None:
        if isinstance(value, dict) and isinstance(entity := value.get("__entity"), dict):
            self.mention(entity)

    def mention(self, entity: dict[str, str]) -> None:
        """Take note of an entity that stands in the policy."""
        if entity["type"] == "Action":
            self.actions.add(entity["id"])
        else:
            self.types.add(entity["type"])
            self.entities.add((entity["type"], entity["id"]))


def _path(node: Any) -> Path | None:
    """Variable and attributes of `context.args.amount`; None where the base is not a variable."""
    attributes: list[str] = []
    while isinstance(node, dict) and "." in node:
        attributes.append(node["."]["attr"])
        node = node["."]["left"]
    if not isinstance(node, dict) or "Var" not in node:
        return None
    return (node["Var"], *reversed(attributes))


def is_role(name: str) -> bool:
    """True if this can be the name of a role at all."""
    return _ROLE.fullmatch(name) is not None


def read(statement: Statement) -> tuple[Policy | None, list[Problem]]:
    """Read one statement. Without a policy the statement could not be parsed or has no usable `@id`."""
    try:
        document = json.loads(cedarpy.policies_to_json_str(statement.text))
    except RecursionError:
        return None, [_too_deep(statement)]
    except ValueError as error:
        return None, [_syntax_problem(statement, str(error))]
    if document["templates"]:
        return None, [statement.problem("a policy template has nothing to fill its slots", "name the entities instead")]
    body: dict[str, Any] = document["staticPolicies"]["policy0"]
    annotations: dict[str, str] = {k: v or "" for k, v in body.get("annotations", {}).items()}
    problems = list(_annotation_problems(statement, annotations))
    scope = _scope(body["action"])
    tree = _Tree()
    for condition in body["conditions"]:
        tree.walk(condition["body"])
    _mention_head(tree, body)
    roles = tuple(sorted({r.strip() for r in annotations.get("approval", "").split(",") if r.strip()}))
    problems += _approval_problems(statement, body, annotations, roles, tree.reads)
    if not annotations.get("id"):
        return None, problems
    policy = Policy(
        id=annotations["id"],
        effect=body["effect"],
        statement=statement,
        annotations=annotations,
        scope=scope,
        reads=frozenset(tree.reads),
        roles=roles,
        mentioned_actions=frozenset(tree.actions),
        mentioned_types=frozenset(tree.types),
        principal=_head(body["principal"]),
        mentioned=frozenset(tree.entities),
    )
    if Read((), has=False) in policy.reads:
        problems.append(
            statement.problem("`context` is used as a whole", "read one attribute of it, such as `context.autonomy`")
        )
    return policy, problems


def _mention_head(tree: _Tree, body: dict[str, Any]) -> None:
    for part in (body["principal"], body["resource"]):
        if "entity_type" in part:
            tree.types.add(part["entity_type"])
        for entity in (part.get("entity"), part.get("in", {}).get("entity")):
            if entity:
                tree.mention(entity)


def _head(principal: dict[str, Any]) -> Head:
    entity = principal.get("entity") or principal.get("in", {}).get("entity")
    return Head(principal.get("entity_type"), (entity["type"], entity["id"]) if entity else None)


def _scope(action: dict[str, Any]) -> Scope:
    entities = action.get("entities") or ([action["entity"]] if "entity" in action else [])
    names = tuple(e["id"] for e in entities)
    match action["op"]:
        case "All":
            return Scope("all")
        case "==":
            return Scope("==", names)
        case _:
            return Scope("in", names)


def _annotation_problems(statement: Statement, annotations: dict[str, str]) -> Iterator[Problem]:
    policy_id = annotations.get("id")
    if not policy_id:
        yield statement.problem("a policy has no `@id`", 'write `@id("a_name_of_its_own")` above it')
    elif not _ID.fullmatch(policy_id):
        yield statement.problem(
            f"the id {policy_id!r} cannot be used in links and commands",
            "use letters, digits, dot, dash, colon and underscore; at most 128 characters",
            offset=statement.find(policy_id),
        )
    if "reason" in annotations and not _REASON.fullmatch(annotations["reason"]):
        yield statement.problem(
            "`@reason` is a code for machines",
            'use letters, digits and underscores, such as `@reason("over_the_limit")`; sentences go into `@advice`',
            offset=statement.find("reason", after=frozenset("@")),
        )


def _approval_problems(
    statement: Statement, body: dict[str, Any], annotations: dict[str, str], roles: tuple[str, ...], reads: list[Read]
) -> Iterator[Problem]:
    """An approval has one form only: then what a policy asks for is what its annotation says, for any combination."""
    looks = [r for r in reads if r.path[:1] == APPROVED_BY]
    annotated = "approval" in annotations
    if not annotated and not looks:
        return
    at = statement.find("approval", after=frozenset("@")) if annotated else statement.find("approved_by")
    if body["effect"] == "permit":
        yield statement.problem("a permit cannot ask for an approval", SHAPE_OF_APPROVAL, offset=at)
        return
    if not annotated:
        yield statement.problem("`approved_by` is read without `@approval`", SHAPE_OF_APPROVAL, offset=at)
        return
    if not roles or not all(map(is_role, roles)):
        yield statement.problem("`@approval` names no role", SHAPE_OF_APPROVAL, offset=at)
        return
    asked = [_asked(c["body"]) for c in body["conditions"] if c["kind"] == "unless"]
    found = [names for names in asked if names is not None]
    if len(found) != 1 or len(found[0]) != len(looks):
        yield statement.problem(
            "an approval stands in one `unless` of its own, which only asks `context.approved_by.contains(…)`",
            f"{SHAPE_OF_APPROVAL}; several roles are joined with `&&`, and every other condition goes into `when`",
            offset=statement.find("approved_by"),
        )
    elif set(found[0]) != set(roles):
        yield statement.problem(
            f"`@approval` names {', '.join(roles)}, the condition {', '.join(sorted(set(found[0])))}",
            "name the same roles in both; a comma means that all of them are asked",
            offset=at,
        )


def _asked(node: dict[str, Any]) -> list[str] | None:
    """The roles of `approved_by.contains("a") && approved_by.contains("b")`; None for anything else."""
    roles: list[str] = []
    stack = [node]
    while stack:
        part = stack.pop()
        if "&&" in part:
            stack += [part["&&"]["left"], part["&&"]["right"]]
            continue
        call = part.get("contains")
        if call is None or _path(call["left"]) != ("context", *APPROVED_BY):
            return None
        role = call["right"].get("Value")
        if not isinstance(role, str):
            return None
        roles.append(role)
    return roles


def _too_deep(statement: Statement) -> Problem:
    return statement.problem(
        "a policy is nested too deeply to be read", "use a set with `contains` in place of a long chain, or split it"
    )


def _syntax_problem(statement: Statement, message: str) -> Problem:
    """Name the place: the shortest beginning of the statement that no continuation could mend ends at the culprit."""
    if "serializing" in message:
        return _too_deep(statement)
    tokens = list(statement.tokens())
    # One by one: the parser recovers from errors, so that a longer beginning may look merely unfinished again.
    ends = (t.offset + len(t.text) for t in tokens[:_SEARCHED])
    wrong = next((n for n, end in enumerate(ends) if not _unfinished(statement.text[:end])), len(tokens))
    if wrong == len(tokens) and len(tokens) <= _SEARCHED:
        return statement.problem("the policy is not finished", "end it with `;`", offset=len(statement.text))
    if wrong < len(tokens) - 1:
        offset = tokens[wrong].offset
    else:  # well-formed up to its end: the message is about a word in it
        culprit = next(filter(None, (pattern.search(message) for pattern in _CULPRITS)), None)
        offset = statement.find(culprit[1]) if culprit else 0
    return statement.problem(f"this is not Cedar: {message}", "correct the policy here", offset=offset)


def _unfinished(text: str) -> bool:
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError as error:
        return "unexpected end of input" in str(error)
    return False
