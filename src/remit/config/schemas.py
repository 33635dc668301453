"""JSON Schemas of the project's files, for editors: made from the same models that read the files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from remit.config.files import MODELS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """File name of each schema to its text; the same models always give the same text."""
    return {f"{Path(file).stem}.json": _text(file) for file in MODELS}


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into a folder, which is made if need be. Returns the files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in schemas().items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _text(file: str) -> str:
    schema = MODELS[file].model_json_schema()
    _close(schema)
    document = {"$schema": _DIALECT, **schema, "title": file}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _close(schema: Any) -> None:
    """Make what is not named an error for editors too: pydantic leaves mappings with named patterns open."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference/schemas"))
