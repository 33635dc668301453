"""The example company at work, and the command line in it."""

import json
import shutil

import pytest
from tests.integration.cli.driver import ACME, Remit, running


@pytest.fixture(scope="package")
def acme_folder(tmp_path_factory):
    """The example company at work, deployed by `remit up` from a copy that came without `.remit/`.

    It ends with the last test of the command line: even at rest it takes processor time that others could have.
    """
    folder = tmp_path_factory.mktemp("company") / "acme"
    shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
    with running(folder):
        yield folder


@pytest.fixture
def acme(acme_folder):
    """`remit …` in the example company, whose clerk Leo types."""
    return Remit(acme_folder, REMIT_AS_PERSON="leo.brandt")


@pytest.fixture
def handle(acme):
    """`handle(ticket)`: start the refund desk on a ticket and wait; gives the session as JSON."""

    def start(ticket: str, *more: str):
        given = json.dumps({"ticket_id": ticket})
        return acme("start", "refund-desk", "--input", given, "--request-id", ticket, "--wait", "--json", *more).json

    return start
