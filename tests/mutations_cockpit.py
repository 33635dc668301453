"""Checks of the cockpit and its API: who comes in, what they see, and that a decision is for what was shown."""

from __future__ import annotations

from tests.mutation import one

GUARD, LOGINS = "surfaces/http/guard.py", "governance/logins.py"
INBOX, LIVE = "surfaces/web/inbox.py", "surfaces/http/live.py"
AGENTS, API, ENTERING, FINDING, ITEMS, LIVE_PAGES, ONCE, OUTPUTS, RECORD, STOP, UNDOING = (
    f"tests/acceptance/cockpit/test_{name}.py"
    for name in (
        "agents",
        "api",
        "entering",
        "finding_sessions",
        "items",
        "record_live",
        "once",
        "outputs",
        "record",
        "stop",
        "undoing",
    )
)

MUTATIONS = [
    # -- who comes in
    one(
        "other sites send with one's cookie",
        GUARD,
        "if request.method not in _SAFE and not is_same_origin(request):",
        "if False:",
        ENTERING,
        "another_site",
    ),
    one("a login link works for ever", LOGINS, "logins.use_link(db, found.digest)", "None", ENTERING, "works_once"),
    one(
        "an ended login is still in",
        "storage/logins.py",
        "where digest = %s and ended_at is null and expires_at",
        "where digest = %s and expires_at",
        ENTERING,
        "ends_when",
    ),
    one(
        "no permission is asked for",
        GUARD,
        "if not found.viewer.may_somewhere(self.permission):",
        "if False:",
        RECORD,
        "offered_to_whom",
    ),
    # -- what they see
    one(
        "every session is seen",
        "surfaces/web/looking.py",
        " or not viewer.may(Permission.SEE, found.workspace)",
        "",
        FINDING,
        "other_workspaces",
    ),
    one(
        "every item is seen",
        INBOX,
        "if viewer.person not in item.assignees and not viewer.may(Permission.SEE, item.workspace):",
        "if False:",
        ENTERING,
        "another_workspace",
    ),
    one(
        "every agent is seen",
        "governance/visibility.py",
        "if version is None or not viewer.may(Permission.SEE, version.spec.workspace):",
        "if version is None:",
        AGENTS,
        "other_workspaces",
    ),
    one(
        "the API shows all places", GUARD, "if not viewer.may(Permission.SEE, workspace):", "if False:", API, "another"
    ),
    one(
        "search looks in every place",
        "storage/session_search.py",
        '(*conditions, "s.workspace = seen.workspace")',
        "conditions",
        FINDING,
        "visible or other_workspaces",
    ),
    one(
        "the record of every place is read",
        "storage/facets.py",
        '"f.workspace = any(%(workspaces)s)"',
        '"true or f.workspace = any(%(workspaces)s)"',
        RECORD,
        "other_workspaces",
    ),
    one(
        "outputs of every place are listed",
        "storage/outputs.py",
        "(%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))",
        "(%(workspaces)s::text[] is null or true)",
        OUTPUTS,
        "over_all_sessions",
    ),
    one(
        "pages are told of every place",
        LIVE,
        "if change.workspace is None or viewer.may(Permission.SEE, change.workspace):",
        "if True:",
        LIVE_PAGES,
        "open_to_the_viewer",
    ),
    # -- what they do
    one(
        "an older request is decided", INBOX, "is ItemStatus.OPEN and seen != seal(item)", "is None", ENTERING, "older"
    ),
    one(
        "anything is decided together",
        "surfaces/web/item_verbs.py",
        " or not kind.approval.together",
        "",
        ITEMS,
        "only_where_their_type",
    ),
    one(
        "a stop is not typed",
        "surfaces/web/stops.py",
        "if word.strip() != _word(scope, target):",
        "if False:",
        STOP,
        "is_typed",
    ),
    one("a form acts twice", "surfaces/web/once.py", "if given is None:", "if True:", ONCE, "however_often"),
    one("a key acts twice", "surfaces/api/once.py", "if given is None:", "if True:", API, "the_same_key"),
    one(
        "anybody reviews outputs",
        "governance/reviews.py",
        "    _must_be_reader(governance, output, reader.person)\n",
        "",
        OUTPUTS,
        "only_readers",
    ),
    one(
        "more is taken back than was shown",
        "surfaces/web/undoing.py",
        "if seen != _seal(wanted):",
        "if False:",
        UNDOING,
        "only_what_was_shown",
    ),
]
