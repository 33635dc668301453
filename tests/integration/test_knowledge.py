"""Knowledge in a real database: what a search finds, in which order, for which version, and how quickly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.config.bundle import agent_version
from remit.domain.agents import AgentSpec, AgentVersion
from remit.storage import knowledge
from remit.storage.sessions import Db

HANDBOOK = """# Refunds
## Damaged goods
Lamps that arrive damaged are refunded in full, within thirty days.

## Change of mind
A customer who returns a working lamp gets a voucher.

# Opening hours
The shop opens at nine. Refunds are paid out until noon.
"""


@pytest.fixture
def db(make_database: Callable[..., Any], migrated: str) -> Iterator[Db]:
    with psycopg.connect(make_database(migrated).url("app"), row_factory=dict_row) as db:
        yield db


def version(language: str = "english", **files: str) -> AgentVersion:
    spec = AgentSpec.model_validate(
        {"title": "t", "purpose": "p", "owner": "bo", "escalation": "bo", "workspace": "w", "language": language}
    )
    named = {f"knowledge/{name}.md": text.encode() for name, text in files.items()}
    return agent_version("clerk", spec, {"prompt.md": b"x", **named})


def headings(db: Db, of: AgentVersion, query: str, limit: int = 5) -> list[str]:
    return [found.heading for found in knowledge.search(db, of, query, limit)]


def test_words_are_found_in_their_other_forms_and_all_of_them_before_some(db: Db) -> None:
    handbook = version(handbook=HANDBOOK)
    assert headings(db, handbook, "refund for a damaged lamp") == [
        "Refunds > Damaged goods",
        "Refunds > Change of mind",
        "Opening hours",
    ]
    (first, *_) = knowledge.search(db, handbook, "refunding damages", 5)
    assert (first.path, first.line) == ("handbook.md", 3)
    assert "**damaged**" in first.excerpt


def test_queries_are_read_as_search_engines_do(db: Db) -> None:
    handbook = version(handbook=HANDBOOK)
    assert headings(db, handbook, '"working lamp"') == ["Refunds > Change of mind"]
    assert headings(db, handbook, "lamps -damaged") == ["Refunds > Change of mind"]
    assert headings(db, handbook, "voucher or noon") == ["Opening hours", "Refunds > Change of mind"] or headings(
        db, handbook, "voucher or noon"
    ) == ["Refunds > Change of mind", "Opening hours"]
    assert headings(db, handbook, "hours", 1) == ["Opening hours"], "a heading weighs more than a text"
    assert headings(db, handbook, "elephants") == []


@pytest.mark.parametrize(
    "query",
    ["", "   ", "the of and", "'; drop table remit.knowledge; --", "& | ! <-> ( :*", "\x00", "(" * 400, '"', "-"],
)
def test_no_query_is_an_error(db: Db, query: str) -> None:
    handbook = version(handbook=HANDBOOK)
    knowledge.search(db, handbook, query, 5)
    assert headings(db, handbook, "voucher") == ["Refunds > Change of mind"]


def test_the_language_is_the_agents_own(db: Db) -> None:
    text = "# Rückgabe\nDie Häuser werden zurückgegeben."
    assert headings(db, version("german", texts=text), "Haus") == ["Rückgabe"]
    assert headings(db, version("simple", texts=text), "Haus") == []
    assert headings(db, version("english", texts=text), "häuser") == ["Rückgabe"]


def test_a_session_searches_what_its_version_held(db: Db) -> None:
    older, newer = version(a="# A\nThe old rule."), version(a="# A\nThe new rule.", b="# B\nAnother rule.")
    assert [f.body for f in knowledge.search(db, newer, "rule", 5)] == ["The new rule.", "Another rule."]
    assert [f.body for f in knowledge.search(db, older, "rule", 5)] == ["The old rule."]
    assert knowledge.search(db, version(), "rule", 5) == []


def test_it_is_indexed_once_whoever_comes_first(make_database: Callable[..., Any], migrated: str) -> None:
    url, handbook = make_database(migrated).url("app"), version(handbook=HANDBOOK)
    begin, found = threading.Barrier(4), list[int]()

    def search() -> None:
        with psycopg.connect(url, row_factory=dict_row) as db:
            begin.wait(30)
            found.append(len(knowledge.search(db, handbook, "lamps", 5)))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4
    with psycopg.connect(url) as db:
        row = db.execute("select count(*), count(distinct ordinal) from remit.knowledge").fetchone()
    assert row == (3, 3)


def test_a_search_in_two_thousand_passages_uses_the_index(make_database: Callable[..., Any], migrated: str) -> None:
    words = [f"word{n}" for n in range(997)]
    text = "\n".join(f"# Section {n}\n{' '.join(words[(n * k) % 997] for k in range(1, 30))}" for n in range(2_000))
    large = version(large=text)
    assert knowledge.count(large) == (1, 2_000)
    with psycopg.connect(make_database(migrated).url(), row_factory=dict_row) as db:
        (found, *_) = knowledge.search(db, large, "word500 word3", 5)
        assert "**word500**" in found.excerpt
        db.execute("analyze remit.knowledge")
        asked = {"strict": "'word500'", "loose": "'word500'", "agent": "clerk", "digest": knowledge.index(db, large)}
        plan = db.execute(f"explain {knowledge._SEARCH}", {**asked, "language": "english", "limit": 5}).fetchall()
    assert any("knowledge_by_words" in row["QUERY PLAN"] for row in plan), plan
