"""The page of the settings that come from the environment."""

from __future__ import annotations

from gen_markdown import NOTE, page, table
from gen_types import default_text, type_text

from remit.config.settings import Settings

_OTHERS = (
    ("REMIT_PROJECT", "folder", "this folder", "The project's folder, for commands that take `--project`."),
    (
        "REMIT_TOKEN",
        "text",
        "not set",
        "Your token. It says who decides wherever `--as` is not possible; see `remit token`.",
    ),
    (
        "REMIT_TRACEBACK",
        "anything",
        "not set",
        "Shows where an unexpected error happened, instead of one line; for reports of defects.",
    ),
    (
        "REMIT_KILL_AT, REMIT_PAUSE_AT",
        "`POINT` or `POINT:N`",
        "not set",
        "For tests: kills or pauses a worker at its N-th passing of a point of `src/remit/runtime/boundaries.py`.",
    ),
)


def settings_reference() -> str:
    """The page as Markdown."""
    named = {f"REMIT_{name.upper()}" for name in Settings.model_fields}
    rows = [
        (f"`REMIT_{name.upper()}`", type_text(field), default_text(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    others = [(", ".join(f"`{n}`" for n in names.split(", ")), *rest) for names, *rest in _OTHERS if names not in named]
    columns = ("variable", "type", "default", "meaning")
    return page(
        "# Settings",
        NOTE,
        "How a process runs is set by environment variables. What a project is, is written in its files: see "
        "[project files](project-files.md). A duration is a number and a unit: `250ms`, `5s`, `10m`, `4h`, `7d`.",
        table(columns, rows),
        "## Read directly",
        table(columns, others),
    )
