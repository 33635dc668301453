"""How far today's budgets are used, for the workspaces of whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from remit.domain.budgets import Limit, Usage, micros
from remit.domain.project import Project
from remit.storage import budgets
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class Burn:
    """One budget of a day."""

    name: str
    agent: str
    """The agent whose it is; empty for a workflow's or the company's."""
    used: Usage
    limit: Limit

    @property
    def share(self) -> float:
        """The most used of its limits, 1.0 where nothing is left."""
        limits = (
            (self.used.usd_micros, micros(self.limit.usd) if self.limit.usd is not None else None),
            (self.used.tokens, self.limit.tokens),
            (self.used.calls, self.limit.calls),
        )
        return max(
            (min(1.0, used / limit) if limit else 1.0 for used, limit in limits if limit is not None), default=0.0
        )


def burning(
    db: Db, project: Project, now: datetime, sees: Callable[[str | None], bool], most: int = 12
) -> tuple[Burn, ...]:
    """Today's budgets (UTC) that `sees` lets through by workspace, the most used first; None is the whole company."""
    day = now.strftime("%Y-%m-%d")
    found: dict[str, tuple[str, str, Limit]] = {}
    for name, version in project.agents.items():
        if version.spec.budget.day is not None and sees(version.spec.workspace):
            found[f"agent:{name}:{day}"] = (f"agent {name}", name, version.spec.budget.day)
    if sees(None):
        if project.settings.budget.day is not None:
            found[f"project:{day}"] = ("the whole company", "", project.settings.budget.day)
        for name, workflow in project.workflows.items():
            if workflow.budget.day is not None:
                found[f"workflow:{name}:{day}"] = (f"workflow {name}", "", workflow.budget.day)
    used = budgets.used(db, list(found))
    burns = [Burn(name, agent, used[key], limit) for key, (name, agent, limit) in found.items()]
    return tuple(sorted(burns, key=lambda burn: (-burn.share, burn.name))[:most])
