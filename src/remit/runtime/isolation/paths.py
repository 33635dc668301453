"""What every isolated child may read: its interpreter, the system's libraries, and a few harmless files of `/etc`."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
)
_NAMES = ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/gai.conf", "/etc/host.conf")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def system() -> list[Path]:
    """Folders and files of the operating system that hold code and no secrets; some may not exist here."""
    return [Path(p) for p in (*_SYSTEM, *_ETC)]


def names() -> list[Path]:
    """What turning a host's name into an address needs; only for children with a network."""
    return [Path(p) for p in _NAMES]


def devices() -> list[Path]:
    """Devices that swallow or give bytes and reveal nothing."""
    return [Path(p) for p in _DEVICES]


def python() -> list[Path]:
    """This interpreter, its standard library and its installed packages, without what lies beside them.

    A virtual environment often stands inside a project, and an interpreter inside somebody's home folder: only the
    exact folders that hold code are named.
    """
    base, prefix = Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()
    found = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found |= {root / part for root in (base, prefix) for part in ("bin", "lib", "lib64", "pyvenv.cfg")}
    found.add(Path(__file__).resolve().parents[2])  # this package, where it is not installed among the others
    return sorted(found)
