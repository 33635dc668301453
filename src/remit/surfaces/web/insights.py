"""Record: what the counts of the record say, each number with the records behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.domain.access import Permission
from remit.evidence import insights
from remit.evidence.burning import burning
from remit.storage import rollups
from remit.surfaces.http.guard import Auditing, Ours
from remit.surfaces.web.rendering import page

router = APIRouter()
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SPANS = {
    "24h": ("24 hours", _HOUR, 24),
    "7d": ("7 days", _DAY, 7),
    "30d": ("30 days", _DAY, 30),
    "90d": ("90 days", _DAY, 90),
}


@router.get("/insights")
def show(
    request: Request, viewer: Auditing, services: Ours, span: str = "7d", workspace: str = "", agent: str = ""
) -> Response:
    """Throughput, trust, cost and exceptions of the last hours or days (UTC)."""
    span = span if span in _SPANS else "7d"
    _, step, many = _SPANS[span]
    now = datetime.now(UTC)
    until = now.replace(minute=0, second=0, microsecond=0) + _HOUR
    if step == _DAY:
        until = until.replace(hour=0) + (_DAY if until.hour else timedelta())
    since = until - many * step
    where = viewer.workspaces(Permission.AUDIT)
    if workspace:
        where = [workspace] if viewer.may(Permission.AUDIT, workspace) else []
    project = services.deployments.load().project
    window = rollups.Window("hour" if step == _HOUR else "day", since, until, where, agent)
    with services.sessions.transaction() as db:
        found = insights.insights(rollups.kinds(db, window), rollups.decisions(db, window), since, until, step)
        return page(
            request,
            "insights.html",
            viewer,
            db,
            found=found,
            spenders=rollups.spenders(db, window),
            burns=burning(db, project, now, lambda w: where is None or w in where),
            newest=rollups.newest(db),
            span=span,
            spans={name: text for name, (text, _, _) in _SPANS.items()},
            given={"span": span, "workspace": workspace, "agent": agent},
            window={
                "since": f"{since:%Y-%m-%dT%H:%M}",
                "until": f"{until:%Y-%m-%dT%H:%M}",
                "workspace": workspace,
                "agent": agent,
            },
            by_hour=step == _HOUR,
            names=insights.OUTCOMES,
            minimum=insights.MIN_DECISIONS,
            workspaces=[w.id for w in project.directory.workspaces if viewer.may(Permission.AUDIT, w.id)],
            agents=sorted(a for a, v in project.agents.items() if viewer.may(Permission.AUDIT, v.spec.workspace)),
        )
