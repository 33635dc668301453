"""Finding inbox items by the words in them, of which there is no index: among the newest. Never commits."""

from __future__ import annotations

from remit.domain.inbox import InboxItem
from remit.storage.database import safe_text
from remit.storage.inbox import as_item
from remit.storage.sessions import Db

_AMONG = 10_000
"""How many items are looked at, the newest that somebody sees."""
_MOST_WORDS = 8


def find(db: Db, text: str, person: str, workspaces: list[str] | None, *, limit: int) -> list[InboxItem]:
    """Items with all of these words in their sentence or what they show: open ones first, then the newest.

    `workspaces` is what somebody sees: a list, or None for everything. What a person is asked for they see everywhere.
    """
    clean = safe_text(text.replace('"', " "), 500)
    words = clean.split()[:_MOST_WORDS]
    if not words:
        return []
    newest = "select i.id from remit.inbox_items i{where} order by i.id desc limit %(among)s"
    source = newest.format(where="")
    if workspaces is not None:
        one = newest.format(where=" where i.workspace = seen.workspace")
        source = f"""(select x.id from unnest(%(workspaces)s::text[]) as seen (workspace) cross join lateral ({one}) x)
                     union ({newest.format(where=" where i.assignees @> array[%(person)s]")})"""  # noqa: S608
    # That the letters are there at all is cheap to ask, and spares most items from being taken apart into words.
    query = f"""
        with seen as materialized (select id from ({source}) as s order by id desc limit %(among)s)
        select i.* from seen join remit.inbox_items i on i.id = seen.id
        where case when (select bool_and(position(lower(word) in lower(i.summary || ' ' || i.detail::text)) > 0)
                         from unnest(%(words)s::text[]) as word)
                   then (to_tsvector('simple', i.summary) || jsonb_to_tsvector('simple', i.detail, '["string"]'))
                        @@ plainto_tsquery('simple', %(text)s)
                   else false end
        order by (i.status = 'open') desc, i.id desc limit %(limit)s"""  # noqa: S608 - constants
    asked = {"workspaces": workspaces, "person": person, "among": _AMONG, "limit": limit}
    return [as_item(row) for row in db.execute(query, {**asked, "words": words, "text": " ".join(words)})]
