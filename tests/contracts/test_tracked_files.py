"""What is in the repository is fit for everybody: no place of one machine, no registry's host, nothing undone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from tests.contracts.source import ROOT, name, tracked

LOCK = ROOT / "uv.lock"
"""Written by uv, which notes where it found each package."""

HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com")
UNDONE = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")


def readable() -> dict[Path, str]:
    found = {}
    for path in tracked():
        if path != LOCK:
            try:
                found[path] = path.read_text("utf-8")
            except UnicodeDecodeError:
                continue  # a picture
    return found


def places_of_this_machine() -> set[str]:
    """The folder of this checkout and of whoever works here, and the hosts that packages come from here."""
    places = {f"{ROOT}/", f"{ROOT.parent}/"} if len(ROOT.parts) > 2 else set()
    if Path.home() not in (Path("/"), Path("/root")):
        places.add(f"{Path.home()}/")
    for variable in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        host = urlsplit(os.environ.get(variable, "")).hostname
        if host:
            places.add(host)
    return places - {"/tmp/", "/home/", "/usr/"}


def test_no_place_of_this_machine():
    found = {name(p): word for p, text in readable().items() for word in places_of_this_machine() if word in text}
    assert found == {}


def test_no_host_of_a_package_registry():
    found = {name(p): word for p, text in readable().items() for word in HOSTS if word in text}
    assert found == {}


def test_nothing_is_left_undone():
    found = {name(p): hit[0] for p, text in readable().items() if (hit := UNDONE.search(text))}
    assert found == {}


PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|PRIVATE\+KEY\+\S+\+\w+\+[A-Za-z0-9+/]{40}"
)


def test_no_private_key_is_tracked():
    found = [name(p) for p, text in readable().items() if PRIVATE_KEY.search(text)]
    assert [f for f in found if not f.startswith("tests/unit/")] == []  # published vectors of a standard
