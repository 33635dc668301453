"""The reference of the audit is complete and is what the code says."""

from pathlib import Path

from remit.domain.records import MEANINGS, Tag
from remit.evidence import reference
from remit.evidence.lines import FIELDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "audit.md"


def test_every_tag_has_a_meaning():
    assert set(MEANINGS) == set(Tag)
    assert all(text.endswith(".") and "\n" not in text for text in MEANINGS.values())
    assert len(set(MEANINGS.values())) == len(MEANINGS)


def test_every_field_of_a_line_is_described():
    described = {
        "key": reference.KEY_FIELDS,
        "payload": reference.PAYLOAD_FIELDS,
        "record": reference.RECORD_FIELDS,
        "checkpoint": reference.CHECKPOINT_FIELDS,
    }
    assert {kind: {name for fields in forms for name in fields} for kind, forms in FIELDS.items()} == {
        kind: set(fields) for kind, fields in described.items()
    }


def test_the_page_is_the_generated_one():
    assert PAGE.read_text(encoding="utf-8") == reference.audit_reference(), "run `make docs`"
