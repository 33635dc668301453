"""Record: what the counts of the record say, each number with the records behind it."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.domain.access import Permission
from remit.evidence import insights
from remit.evidence.burning import burning
from remit.governance import visibility
from remit.storage import rollups
from remit.surfaces.http.guard import Auditing, Ours
from remit.surfaces.web import spans
from remit.surfaces.web.rendering import page

router = APIRouter()
_SPANS = ("24h", "7d", "30d", "90d")


@router.get("/insights")
def show(
    request: Request, viewer: Auditing, services: Ours, span: str = "7d", workspace: str = "", agent: str = ""
) -> Response:
    """Throughput, trust, cost and exceptions of the last hours or days (UTC)."""
    back = spans.span(span, _SPANS, "7d")
    where = viewer.workspaces(Permission.AUDIT)
    if workspace:
        where = [workspace] if viewer.may(Permission.AUDIT, workspace) else []
    project = services.deployments.load().project
    window = rollups.Window(back.grain, back.since, back.until, where, agent)
    with services.sessions.transaction() as db:
        kinds, decisions = rollups.kinds(db, window), rollups.decisions(db, window)
        found = insights.insights(kinds, decisions, back.since, back.until, back.step)
        return page(
            request,
            "insights.html",
            viewer,
            db,
            found=found,
            spenders=rollups.spenders(db, window),
            burns=burning(db, project, datetime.now(UTC), lambda w: where is None or w in where),
            newest=rollups.newest(db),
            span=back.name,
            spans=spans.texts(_SPANS),
            given={"span": back.name, "workspace": workspace, "agent": agent},
            window={
                "since": f"{back.since:%Y-%m-%dT%H:%M}",
                "until": f"{back.until:%Y-%m-%dT%H:%M}",
                "workspace": workspace,
                "agent": agent,
            },
            by_hour=back.grain == "hour",
            names=insights.OUTCOMES,
            minimum=insights.MIN_DECISIONS,
            workspaces=visibility.workspaces(viewer, project, Permission.AUDIT),
            agents=visibility.agents(viewer, project, Permission.AUDIT),
        )
