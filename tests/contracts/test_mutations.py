"""Every mutation still says what the code says, so that `make mutate` drops what it means to drop."""

from __future__ import annotations

import pytest

from tests.mutation import ROOT, Mutation, mutated
from tests.mutations import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_a_mutation_fits_the_code(mutation: Mutation) -> None:
    assert mutated(mutation)
    assert (ROOT / mutation.tests.partition("::")[0]).exists()
