"""The page of the project's files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from gen_markdown import NOTE, page, table
from gen_types import default_text, type_text
from pydantic import BaseModel

from remit.config.files import MODELS

_BEFORE = """A project is a folder of text files in git. `remit check` reads all of them together and names every
mistake with its file, line and column. A key that is not listed here is an error. JSON Schemas for editors are in
[schemas](schemas/) and, after `remit init`, in the project's `.remit/schemas/`.

Beside the files below a project holds `policies/*.cedar` ([how to write a policy](../how-to/write-a-policy.md)) and, in
each agent's folder, `prompt.md` ([agents that a language model runs](../how-to/model-agents.md)) or `program.py`
([how to write a program](../how-to/write-a-program.md))."""

_KINDS = (
    ("name", "Lower-case letters, digits, dot, dash and underscore; at most 63 characters."),
    ("`connection.tool`", "A tool's full name, which is also the name of its action type: `payments.refund`."),
    ("person or `role:ID`", "A person's id, or whoever holds a role of the directory."),
    ("duration", "A number and a unit: `250ms`, `5s`, `10m`, `4h`, `7d`."),
    ("amount", "Exact, with at most four decimal places: `100`, `99.50`."),
    ("currency code", "ISO 4217: `USD`."),
    ("reference to a secret", "`env:NAME`, `file:PATH` or `vault:PATH#KEY`; never the secret itself."),
)


def files_reference() -> str:
    """The page as Markdown."""
    parts = ["# Project files", NOTE, _BEFORE, "## Kinds of values", table(("kind", "spelt"), _KINDS)]
    told: set[type[BaseModel]] = set()
    for file, model in MODELS.items():
        parts.append(f"## {f'agents/NAME/{file}' if file in {'agent.yaml', 'parameters.yaml'} else file}")
        for found in _models(model):
            if found not in told:
                told.add(found)
                parts += _section(found, is_file=found is model)
    return page(*parts)


def _section(model: type[BaseModel], *, is_file: bool) -> list[str]:
    rows = [
        (f"`{name}`", type_text(field), default_text(field), _as_spelt(field.description or ""))
        for name, field in model.model_fields.items()
    ]
    heading = [] if is_file else [f"### {model.__name__}"]
    about = _as_spelt(" ".join((model.__doc__ or "").split()))
    return [*heading, about, table(("key", "type", "default", "meaning"), rows)]


def _as_spelt(text: str) -> str:
    """Python's words in those of YAML and TOML."""
    text = text.replace("None", "Not set" if text.startswith("None") else "not set")
    return re.sub(r"\b(True|False)\b(?=:)", lambda found: f"`{found[0].lower()}`", text)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those in it, each after the one that names it first."""
    waiting, told = [model], set()
    while waiting:
        found = waiting.pop(0)
        if found in told:
            continue
        told.add(found)
        yield found
        for field in found.model_fields.values():
            waiting += _inside(field.annotation)


def _inside(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _inside(argument)]
