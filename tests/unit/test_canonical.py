"""Values as they are judged, digested and sent."""

from __future__ import annotations

import pytest

from remit.domain import canonical
from remit.errors import InvalidInput


@pytest.mark.parametrize("value", ["\ud800", {"a": ["fine", "x\udfff"]}, {"\ud83d": 1}])
def test_half_a_character_is_kept_in_results_and_sent_to_nobody(value):
    assert canonical.parse(canonical.dumps(canonical.normalise(value))) == value
    with pytest.raises(InvalidInput, match="lone surrogate"):
        canonical.check_unicode(value)


def test_whole_characters_are_sent_as_they_are():
    canonical.check_unicode({"whole": ["\U0001f600", "\u202e", None, 1, True]})
