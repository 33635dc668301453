"""What `remit check` says about policies: every finding at its place, with what to mend."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable

import cedarpy

from remit.errors import Problem
from remit.governance.policy.catalogue import Catalogue
from remit.governance.policy.reading import Policy, is_role, read
from remit.governance.policy.statements import cut
from remit.governance.policy.vocabulary import ATTRIBUTES, GROUPS

RACI_ROLES = frozenset({"accountable", "system_owner", "risk_owner", "consulted", "informed"})

_PREFIX = re.compile(r"^for policy `policy\d+`, ")
_ATTRIBUTE = re.compile(r"attribute `([^`]+)`")
_ACTION = re.compile(r'`Action::"([^"]+)"`')
_TICKED = re.compile(r"`\"?([^`\"]+)\"?`")
_IMPOSSIBLE = "unable to find an applicable action"


def read_policies(texts: dict[str, str]) -> tuple[list[Policy], list[Problem]]:
    """Read all policies of all files, in the order of file names. Policies that cannot be read are problems only."""
    policies: dict[str, Policy] = {}
    problems: list[Problem] = []
    for file in sorted(texts):
        statements, found = cut(file, texts[file])
        problems += found
        for statement in statements:
            policy, found = read(statement)
            problems += found
            if policy is None:
                continue
            first = policies.setdefault(policy.id, policy)
            if first is not policy:
                problems.append(
                    statement.problem(
                        f"the id {policy.id} is taken by {first.statement.file}:{first.statement.line}",
                        "give every policy an id of its own",
                        offset=statement.find(policy.id),
                    )
                )
    return list(policies.values()), problems


def validate(
    policies: list[Policy], catalogue: Catalogue, roles: frozenset[str] | None, known: list[Problem]
) -> list[Problem]:
    """Check heads, roles and types. `roles` are the directory's; None: not known. `known` were found before."""
    problems: list[Problem] = []
    batches: defaultdict[tuple[tuple[str, ...], frozenset[str], frozenset[str]], list[Policy]] = defaultdict(list)
    for policy in policies:
        problems += _head_problems(policy, catalogue)
        if roles is not None:
            problems += _role_problems(policy, roles)
        covered = catalogue.covered(policy)
        if covered:
            extra = frozenset(_declarable(policy, catalogue))
            batches[covered, policy.mentioned_types & catalogue.resource_types, extra].append(policy)
    places = {(p.file, p.line, p.column) for p in known}
    for (covered, types, extra), batch in batches.items():
        problems += _type_problems(batch, catalogue.schema(covered, types=types, extra=extra), places)
    return problems


def _declarable(policy: Policy, catalogue: Catalogue) -> Iterable[str]:
    """Action names that the policy may speak of although no request of its slice has them."""
    names = set(policy.scope.names) | policy.mentioned_actions
    return (n for n in names if n in catalogue.plans or n in catalogue.groups or n in policy.scope.names)


def _head_problems(policy: Policy, catalogue: Catalogue) -> Iterable[Problem]:
    scope, statement = policy.scope, policy.statement
    if scope.operator != "all" and not scope.names:
        yield statement.problem("the policy names no action", "name one, or write just `action`", severity="warning")
    for name in scope.names:
        offset = statement.find(name)
        if name in catalogue.plans:
            continue
        if name in catalogue.groups:
            if scope.operator == "==":
                yield statement.problem(
                    f"{name} is a group of actions and never an action itself",
                    f'write `action in Action::"{name}"`',
                    offset=offset,
                )
            elif not catalogue.groups[name]:
                yield _empty_group(policy, name, offset)
            continue
        close = difflib.get_close_matches(name, [*catalogue.plans, *catalogue.groups], n=1, cutoff=0.75)
        if close or "." in name or scope.operator == "==":
            mend = f'did you mean `Action::"{close[0]}"`?' if close else "classify it in actions.yaml"
            yield statement.problem(f"there is no action type or group {name}", mend, offset=offset)
        else:
            yield _empty_group(policy, name, offset)


def _empty_group(policy: Policy, name: str, offset: int) -> Problem:
    return policy.statement.problem(
        f"no action type belongs to the group {name}, so for it the policy says nothing",
        f"add `groups: [{name}]` to the action types that it is for, or remove it here",
        offset=offset,
        severity="warning",
    )


def _role_problems(policy: Policy, roles: frozenset[str]) -> Iterable[Problem]:
    for role in policy.roles:
        if role not in roles and role not in RACI_ROLES and is_role(role):
            close = difflib.get_close_matches(role, [*roles, *RACI_ROLES], n=1)
            yield policy.statement.problem(
                f"nobody can approve as {role}: there is no such role",
                f"did you mean {close[0]}?"
                if close
                else f"declare it in directory.yaml, or use one of {', '.join(sorted(RACI_ROLES))}",
                offset=policy.statement.find("approval", after=frozenset("@")),
            )


def _type_problems(batch: list[Policy], schema: str, places: set[tuple[str, int, int]]) -> Iterable[Problem]:
    """The engine's own strict validation against the generated schema of the actions that the batch is about."""
    result = cedarpy.validate_policies("\n".join(p.statement.text for p in batch), cedarpy.Schema.from_str(schema))
    seen: set[Problem] = set()
    for error in result.errors:
        number = error.policy_id.removeprefix("policy")
        policy = batch[int(number)] if number.isdigit() and int(number) < len(batch) else batch[0]
        problem = _explain(policy, _PREFIX.sub("", error.error).replace("__cedar::internal::", ""))
        if problem not in seen and (problem.file, problem.line, problem.column) not in places:
            seen.add(problem)
            yield problem


def _explain(policy: Policy, message: str) -> Problem:
    statement = policy.statement
    if message.startswith(_IMPOSSIBLE):
        return statement.problem(
            "the policy can never apply: none of its actions has such a principal or resource",
            "principals are Agent and Person; look up the action type's `resource`",
        )
    if match := _ATTRIBUTE.search(message):
        name = match[1].split(".")[-1]
        action = _ACTION.search(message)
        offset = statement.find(name, after=frozenset({".", "has", "["}))
        if match[1].startswith("args."):
            subject = f"{action[1]}: its tool" if action else "the tool"
            return statement.problem(
                f"{subject} has no argument `{match[1].removeprefix('args.')}`",
                "correct the name, or ask first whether it is there: `context.args has …`",
                offset=offset,
            )
        close = difflib.get_close_matches(name, [*(path[-1] for path in ATTRIBUTES), *GROUPS, "args"], n=1)
        mend = f"did you mean `{close[0]}`?" if close else "the guide to policies lists what there is"
        return statement.problem(f"{message[0].upper()}{message[1:]}", mend, offset=offset)
    words = _TICKED.findall(message)
    offset = statement.find(words[-1]) if words else 0
    if "decimal" in message and "parse" in message:
        return statement.problem(
            f"{words[-1] if words else 'a literal'} is not a decimal",
            'write 1 to 4 places: `decimal("100.00")`',
            offset=offset,
        )
    mend = 'compare decimals by `.lessThan(decimal("100.00"))`' if "decimal" in message else "mend the condition"
    return statement.problem(message, mend, offset=offset)
