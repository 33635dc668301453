"""Writes docs/reference from the code: `make docs`. The same code always gives the same pages.

`pages()` is all of it, as path in docs/reference to text; tests compare it with what is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

import gen_cli  # noqa: E402
from gen_errors import errors_reference  # noqa: E402
from gen_files import files_reference  # noqa: E402
from gen_settings import settings_reference  # noqa: E402

from remit.config.schemas import schemas  # noqa: E402
from remit.evidence.reference import audit_reference  # noqa: E402
from remit.surfaces.api.app import description  # noqa: E402

REFERENCE = DOCS / "reference"


def pages() -> dict[str, str]:
    """Path below docs/reference to text."""
    return {
        "api.json": json.dumps(description(), indent=1, ensure_ascii=False) + "\n",
        "audit.md": audit_reference(),
        "cli.md": gen_cli.render(),
        "errors.md": errors_reference(),
        "project-files.md": files_reference(),
        "settings.md": settings_reference(),
        **{f"schemas/{name}": text for name, text in schemas().items()},
    }


def main() -> None:
    """Write what has changed, and say so."""
    for name, text in pages().items():
        path = REFERENCE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote docs/reference/{name}")


if __name__ == "__main__":
    main()
