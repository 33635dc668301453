"""The published JSON Schemas are those of the models, and refuse what the loader refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from remit.config.files import MODELS
from remit.config.schemas import schemas, write_schemas

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "schemas"


def test_what_is_published_is_current():
    held = {p.name: p.read_text("utf-8") for p in PUBLISHED.iterdir()}
    assert held == schemas(), "run `python -m remit.config.schemas`"


def test_each_is_a_schema_with_descriptions(tmp_path):
    for path in write_schemas(tmp_path / "new"):
        schema = json.loads(path.read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["description"]
    assert len(write_schemas(tmp_path / "new")) == len(MODELS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actions", {"actions": {"nodot": {"title": "x", "effect": "read"}}}),
        ("actions", {"actions": {"a.b": {"title": "x", "effect": "read", "tmeout": "5s"}}}),
        ("actions", {"actions": {"a.b": {"title": "x", "effect": "read", "timeout": "5 seconds"}}}),
        ("connections", {"connections": {"a": {"transport": "pipe"}}}),
        ("directory", {"people": [{"id": "Dana Kim", "name": "x"}]}),
        ("remit", {}),
        ("agent", {"title": "x"}),
        ("workflows", {"workflows": {"w": {"title": "x", "owner": "a", "steps": [{"title": "s", "layer": "do"}]}}}),
    ],
)
def test_what_the_loader_refuses_the_editor_marks(name, value):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, json.loads(schemas()[f"{name}.json"]))
