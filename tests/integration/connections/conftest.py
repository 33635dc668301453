import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remit.domain.connections import StdioConnection
from remit.runtime.connections import Connections
from remit.runtime.isolation import choice

SERVERS = Path(__file__).parent / "servers"
WALLED = choice.landlock_usable()


@pytest.fixture
def project(tmp_path):
    shutil.copytree(SERVERS, tmp_path / "acme" / "servers")
    (tmp_path / "acme" / ".remit").mkdir()
    return tmp_path / "acme"


@pytest.fixture
def connect(project):
    """`async with connect(MODE=...) as call`: one connection, `raw`; `call(tool, **arguments)` gives a ToolAnswer."""

    @asynccontextmanager
    async def opened(*, script="raw", secrets=None, pins=None, isolation=None, options=None, **env):
        spec = StdioConnection(
            transport="stdio", command=("python", f"servers/{script}.py"), env=env, **(options or {})
        )
        resolver = (secrets or {}).__getitem__
        wall = isolation or ("landlock" if WALLED else "none")
        connections = Connections(project, {"raw": spec}, resolver, pins=pins, isolation=wall)

        async def call(tool, *, within=10.0, cleared=30.0, meta=None, person=None, **arguments):
            return await connections.call(
                "raw",
                tool,
                arguments,
                meta=meta,
                timeout=timedelta(seconds=within),
                deadline=time.monotonic() + cleared,
                person=person,
            )

        call.connections = connections
        call.link = lambda: next(iter(connections._links.values()))
        call.log = project / ".remit" / "connections" / "raw" / "calls.log"
        try:
            yield call
        finally:
            async with asyncio.timeout(15):
                await connections.close()

    return opened


@pytest.fixture
def certificate(tmp_path):
    """A key and a certificate for `localhost` that nobody vouches for, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = Path(tmp_path / "server.pem")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return pem
