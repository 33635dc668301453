"""Gets a Chromium for the tests of the cockpit, where that is possible; `make test` runs it first.

One that is already there is taken; else Debian's package where this user may install it; else Playwright's own
download. Preferred is the headless shell: a page of its takes a fifth of the processor time that a page of the whole
browser takes. Where nothing works it says so loudly, and the tests that need it are skipped, or fail where CI is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOWNLOADED = (  # by Playwright, under names that changed
    "chromium_headless_shell-*/chrome-*/*headless*shell",
    "chromium-*/chrome-linux*/chrome",
)


def find() -> str | None:
    """Path of a Chromium on this machine; None if there is none."""
    wanted = os.environ.get("REMIT_TEST_CHROMIUM")
    if wanted:
        return wanted
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    cache = Path.home() / ".cache" / "ms-playwright"
    caches = (path for pattern in DOWNLOADED for path in sorted(cache.glob(pattern), reverse=True))
    return next(map(str, caches), None)


def get() -> str | None:
    """Find one, or install one."""
    if find() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _run("apt-get", "update", "--quiet")
        for package in ("chromium-headless-shell", "chromium"):  # older releases have no shell
            if find() is None:
                _run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", package)
    if find() is None:
        _run(sys.executable, "-m", "playwright", "install", "--only-shell", "chromium")
    return find()


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{' '.join(command)}: {error}\n")


if __name__ == "__main__" and get() is None:
    sys.stderr.write(
        "\n*** There is no Chromium here, and none could be installed: the cockpit's tests in a browser do NOT run.\n"
        "*** Install one, or name it in REMIT_TEST_CHROMIUM.\n\n"
    )
