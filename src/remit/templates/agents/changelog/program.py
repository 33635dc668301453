"""Drafts the changelog of what was merged since the last release.

A line is one pull request, under the heading of the first of its labels that means something to users. What only
developers notice is left out, and the reason for every line is recorded.
"""

from typing import Any

HEADINGS = {"breaking": "Take care", "security": "Security", "feature": "New", "bug": "Mended"}


async def run(session: Any) -> dict[str, Any]:
    """Draft it and publish it for review."""
    repository = session.input["repository"]
    releases = (await session.call("github.list_releases", repository=repository))["releases"]
    since = max((release["published_at"] for release in releases if not release["draft"]), default="")
    merged = await session.call("github.list_pull_requests", repository=repository, state="merged", limit=500)
    found = [entry(pull) for pull in merged["pull_requests"] if pull["merged_at"] > since]
    told = [line for line in found if line["heading"]]
    order = list(HEADINGS.values())
    told.sort(key=lambda line: (order.index(line["heading"]), line["key"]))
    await session.explain_all("changelog", [(line, reasons(line, since)) for line in told])
    draft = await session.publish("changelog", text(told, since), title=f"Changelog of {repository}", kind="draft")
    return {"lines": len(told), "left_out": len(found) - len(told), "output": draft["output"]}


def entry(pull: dict[str, Any]) -> dict[str, Any]:
    """A pull request as a line: its heading is that of the most important of its labels, or none."""
    heading = next((said for label, said in HEADINGS.items() if label in pull["labels"]), "")
    return {"key": f"#{pull['number']}", "title": pull["title"], "heading": heading, "pull_request": pull}


def reasons(line: dict[str, Any], since: str) -> list[str]:
    """Why a line is there, and under this heading."""
    pull = line["pull_request"]
    when = f"merged on {pull['merged_at']}, after the release of {since}" if since else f"merged on {pull['merged_at']}"
    return [when, f"labelled {', '.join(pull['labels'])}, which stands under “{line['heading']}”"]


def text(lines: list[dict[str, Any]], since: str) -> str:
    """The draft as Markdown."""
    parts = [f"Since {since}:" if since else "So far:"]
    for heading in HEADINGS.values():
        under = [f"- {line['title']} ({line['key']})" for line in lines if line["heading"] == heading]
        if under:
            parts += [f"\n## {heading}\n", *under]
    return "\n".join(parts) + "\n"
