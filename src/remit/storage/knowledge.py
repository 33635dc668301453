"""Knowledge as rows: the passages of an agent's folder with their words, and the search in them. Never commits.

Rows belong to the contents of the folder, not to the agent's version: a new prompt indexes nothing anew, and a session
that began with older contents still finds them. They are made when they are first asked for, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.knowledge import Passage, passages, sources
from remit.storage.database import safe_text
from remit.storage.sessions import Db

_LONGEST_QUERY = 400
_ASK = """
    with asked as (
        select websearch_to_tsquery(%(language)s::regconfig, %(query)s) as forms,
               websearch_to_tsquery('simple', %(query)s) as words
    )
    select (forms || words)::text as strict,
           -- With a -not in it, any other word is too little to go by.
           (case when forms::text like '%%!%%' then forms || words
                 else replace(forms::text, ' & ', ' | ')::tsquery || words end)::text as loose
    from asked"""
# What is searched for is a parameter: the planner then knows how rare the words are, and takes the index for rare ones.
_SEARCH = """
    with found as (
        select path, ordinal, heading, line, body, words @@ %(strict)s::tsquery as whole,
               ts_rank_cd(words, %(loose)s::tsquery, 1) as rank
        from remit.knowledge
        where words @@ %(loose)s::tsquery and agent = %(agent)s and digest = %(digest)s
        order by whole desc, rank desc, path, ordinal limit %(limit)s
    )
    select path, heading, line, body, ts_headline(%(language)s::regconfig, body, %(loose)s::tsquery,
        'StartSel=**, StopSel=**, MaxFragments=2, MinWords=8, MaxWords=30, FragmentDelimiter=" … "') as excerpt
    from found order by whole desc, rank desc, path, ordinal"""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that fits a query."""

    path: str
    heading: str
    line: int
    body: str
    excerpt: str
    """Where the words stand, marked with `**`."""


def index(db: Db, version: AgentVersion) -> str:
    """Have the passages of an agent's knowledge in the database; returns the digest that they are kept under."""
    files, language = sources(version.files), version.spec.language
    digest = canonical.digest([language, {path: canonical.digest_bytes(content) for path, content in files.items()}])
    if not files or _indexed(db, version.agent, digest):
        return digest
    db.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"knowledge:{version.agent}:{digest}",))
    if _indexed(db, version.agent, digest):
        return digest
    with db.cursor() as cursor:
        cursor.executemany(
            """insert into remit.knowledge (agent, digest, path, ordinal, heading, line, body, words)
               values (%(agent)s, %(digest)s, %(path)s, %(ordinal)s, %(heading)s, %(line)s, %(body)s,
                   setweight(to_tsvector(%(language)s::regconfig, %(heading)s), 'A')
                   || setweight(to_tsvector('simple', %(heading)s), 'A')
                   || to_tsvector(%(language)s::regconfig, %(body)s) || to_tsvector('simple', %(body)s))""",
            [
                {
                    "agent": version.agent,
                    "digest": digest,
                    "path": one.path,
                    "ordinal": one.ordinal,
                    "heading": safe_text(one.heading),
                    "line": one.line,
                    "body": safe_text(one.body),
                    "language": language,
                }
                for one in _passages(files)
            ],
        )
    return digest


def search(db: Db, version: AgentVersion, query: str, limit: int) -> list[Found]:
    """The passages that fit, best first: those with every word of the query before those with some of them.

    The query is read as search engines do: "a phrase", or, and -not. Words are found in their other forms too.
    """
    language, digest = version.spec.language, index(db, version)
    asked = db.execute(_ASK, {"language": language, "query": safe_text(query, _LONGEST_QUERY)}).fetchone()
    assert asked is not None, "it selects from one row"
    more = {"language": language, "agent": version.agent, "digest": digest, "limit": limit}
    rows = db.execute(_SEARCH, {**asked, **more}).fetchall()
    return [Found(r["path"], r["heading"], r["line"], r["body"], r["excerpt"]) for r in rows]


def count(version: AgentVersion) -> tuple[int, int]:
    """How many files and passages an agent's knowledge has."""
    files = sources(version.files)
    return len(files), sum(1 for _ in _passages(files))


def _indexed(db: Db, agent: str, digest: str) -> bool:
    found = db.execute("select 1 from remit.knowledge where agent = %s and digest = %s limit 1", (agent, digest))
    return found.fetchone() is not None


def _passages(files: dict[str, bytes]) -> Iterator[Passage]:
    for path, content in files.items():
        yield from passages(path, content.decode("utf-8-sig", "replace"))
