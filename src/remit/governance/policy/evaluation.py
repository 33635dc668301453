"""One action's slice handed to the Cedar engine, and its answer taken apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cedarpy

from remit.governance.policy.catalogue import ActionPlan, Catalogue
from remit.governance.policy.reading import Policy

_NUMBERED = len("policy")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine says. `spoke` are the policies that decided; `trouble` is empty unless evaluation failed."""

    allowed: bool
    spoke: tuple[Policy, ...]
    trouble: str = ""


class Bench:
    """Some policies, parsed once, to be evaluated together many times."""

    def __init__(self, policies: Iterable[Policy], schema: cedarpy.Schema) -> None:
        self.policies = tuple(policies)
        self._parsed = cedarpy.PolicySet.from_str("\n".join(p.statement.text for p in self.policies))
        self._schema = schema

    def evaluate(self, request: dict[str, Any], entities: cedarpy.Entities) -> Answer:
        """Evaluate one request, always against the schema. An error in any policy is trouble."""
        result = cedarpy.is_authorized(request, self._parsed, entities, self._schema)
        diagnostics = result.diagnostics
        if diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
            return Answer(allowed=False, spoke=(), trouble="; ".join(diagnostics.errors) or "the engine did not decide")
        # The engine numbers policies by their place in the text.
        spoke = tuple(self.policies[int(reason[_NUMBERED:])] for reason in diagnostics.reasons)
        return Answer(allowed=result.decision is cedarpy.Decision.Allow, spoke=spoke)


class Slice:
    """The policies of one action, ready to judge.

    `whole` is all of them. `asking` leaves out forbids that ask nobody: once they have not spoken, no approval can make
    them speak, because no policy but those with `@approval` may read who has approved.
    """

    def __init__(self, plan: ActionPlan, catalogue: Catalogue) -> None:
        self._plan = plan
        self._catalogue = catalogue
        self.schema = cedarpy.Schema.from_str(catalogue.slice_schema(plan, plan.context))
        self.whole = Bench(plan.slice, self.schema)

    @cached_property
    def asking(self) -> Bench:
        """Permits and the policies that ask, with a context of what those read. Parsed at its first use."""
        schema = cedarpy.Schema.from_str(self._catalogue.slice_schema(self._plan, self._plan.asking))
        return Bench((p for p in self._plan.slice if p.effect == "permit" or p.roles), schema)

    def satisfied(self, request: dict[str, Any], entities: cedarpy.Entities) -> tuple[Policy, ...]:
        """Every policy whose conditions hold, whether it decided or not; not for the hot path."""
        return tuple(p for p in self.whole.policies if Bench((p,), self.schema).evaluate(request, entities).spoke)
