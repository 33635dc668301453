"""The sealer: puts new records into the Merkle log, signs the tree, and leaves checkpoints outside the database.

Any number of processes may run a sealer; the database lets one at a time through. Sealing follows the records at a
distance and never stands in an action's way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from remit.domain.checkpoints import DEFAULT_NAME, Checkpoint, SigningKey
from remit.errors import ConfigurationError, IntegrityError, RemitError
from remit.governance.places import Place
from remit.storage.audit_log import StoredCheckpoint
from remit.storage.log_writer import LogWriter

log = logging.getLogger(__name__)

KEY_FILE = "sealer.key"
PUBLIC_FILE = "sealer.pub"
BATCH = 5_000
"""Most records in one sealing transaction."""
PATIENCE = timedelta(seconds=5)
"""How long a place may take before sealing goes on without it."""


class LogForked(IntegrityError):
    """A place outside holds a checkpoint, signed by this key, that the log in the database does not continue.

    The database was rolled back to an older state or its log was rewritten. Nothing is signed any more, because two
    signed histories would contradict each other.
    """

    code = "log_forked"
    advice = (
        "Restore a database that contains the checkpoint. To begin a new log on purpose, move the sealer's key and the "
        "place's folder away and keep both: they prove what was there before."
    )


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one call of `seal_once` did."""

    records: int
    """Records that became leaves."""
    checkpoint: StoredCheckpoint | None
    """The newest checkpoint, or None while nothing was ever sealed."""
    troubles: tuple[str, ...] = ()
    """Places that do not hold the newest checkpoint, and why."""


def ensure_sealer_key(folder: Path, name: str = DEFAULT_NAME) -> SigningKey:
    """Read the sealer's key from `folder`, usually `.remit/`, or make it. `sealer.pub` beside it is for verifiers.

    The key is a file of its own, readable by its owner only. `name` names the log in a new key. Raises
    ConfigurationError if the file is readable by others or cannot be read or written, InvalidInput if it holds no key.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path, SigningKey.generate(name).secret_text() + "\n")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(
                f"others can read the sealer's key {path}",
                advice=f"Run `chmod 600 {path}`; if somebody may have copied it, move it away to begin with a new key.",
            )
        key = SigningKey.parse(path.read_text(encoding="utf-8"))
        public = folder / PUBLIC_FILE
        text = f"{key.verifier}\n"
        if not public.exists() or public.read_text(encoding="utf-8") != text:
            public.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the sealer's key {path} cannot be used: {error}", advice="Check the folder's owner and rights."
        ) from error
    return key


class Sealer:
    """Seals records of one database under one key.

    Args:
        url: the database; the role needs what `remit_sealer` may do.
        key: signs checkpoints.
        origin: first line of a checkpoint, which log this is; by default the key's name.
        places: where checkpoints are left outside the database.
        batch: most records in one transaction.
        patience: how long sealing waits for a place that does not answer.
    """

    def __init__(
        self,
        url: str,
        key: SigningKey,
        *,
        origin: str | None = None,
        places: Sequence[Place] = (),
        batch: int = BATCH,
        patience: timedelta = PATIENCE,
    ) -> None:
        self.key = key
        self.origin = origin or key.name
        self._writer = LogWriter(url)
        self._couriers = [_Courier(place, patience.total_seconds()) for place in places]
        self._batch = batch
        self._stopping = threading.Event()

    def seal_once(self) -> Sealed:
        """Seal everything that can be sealed now, batch by batch, and deliver the newest checkpoint.

        Raises DatabaseUnavailable, Conflict if another sealer is stuck, IntegrityError if the stored tree was altered,
        LogForked. A place that fails is told of in the result and is tried again next time.
        """
        for courier in self._couriers:
            self._compare(courier)
        records, checkpoint = 0, None
        while not (self._stopping.is_set() and records):
            batch = self._writer.seal_batch(self._sign, self._batch)
            if batch is None:
                break
            records, checkpoint = records + batch.records, batch.checkpoint
            self._deliver(checkpoint)
            if batch.records < self._batch:
                break
        checkpoint = checkpoint or self._writer.latest()
        troubles = self._deliver(checkpoint) if checkpoint else ()
        return Sealed(records, checkpoint, troubles)

    async def run(
        self,
        stop: asyncio.Event,
        every: timedelta = timedelta(seconds=1),
        report: Callable[[Sealed | RemitError], None] | None = None,
    ) -> None:
        """Seal again and again until `stop` is set, and once more then. Trouble is reported and never ends it."""
        tell = report or _Log()
        self._stopping.clear()
        try:
            while True:
                last = stop.is_set()
                try:
                    tell(await asyncio.to_thread(self.seal_once))
                except RemitError as error:
                    tell(error)
                if last:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), every.total_seconds())
        finally:
            self._stopping.set()
            self.close()

    def close(self) -> None:
        """Close the database connection."""
        self._writer.close()

    def _sign(self, size: int, root: bytes) -> str:
        return self.key.sign(Checkpoint(self.origin, size, root))

    def _deliver(self, checkpoint: StoredCheckpoint) -> tuple[str, ...]:
        for courier in self._couriers:
            courier.send(checkpoint)
        return tuple(trouble for courier in self._couriers if (trouble := courier.trouble))

    def _compare(self, courier: _Courier) -> None:
        """Once for each place: what it holds must be part of the log in the database."""
        if courier.compared:
            return
        answered, outside = courier.fetch()
        if outside is not None and self.key.verifier.has_signed(outside):
            held = self.key.verifier.open(outside)
            if held.origin == self.origin and self._writer.root_at(held.size) != held.root:
                raise LogForked(
                    f"{courier.place.name} holds a signed checkpoint of {held.size} records, which the log in the "
                    "database does not continue"
                )
        courier.compared = answered


@dataclass(slots=True)
class _Courier:
    """Brings checkpoints to one place, in a thread of its own, so that a place that hangs holds up nobody."""

    place: Place
    patience: float
    compared: bool = False
    delivered: int = 0
    trouble: str | None = None
    _thread: threading.Thread | None = field(default=None, repr=False)

    def fetch(self) -> tuple[bool, str | None]:
        """Whether the place answered (else `trouble` says why not), and its newest note if it has one."""
        found: list[str | None] = []
        answered = self._do(lambda: found.append(self.place.newest()))
        return answered, found[0] if answered else None

    def send(self, checkpoint: StoredCheckpoint) -> None:
        """Deliver, unless the place has it already; `trouble` says why not."""
        if self.delivered < checkpoint.size and self._do(lambda: self.place.put(checkpoint.note)):
            self.delivered = checkpoint.size

    def _do(self, work: Callable[[], None]) -> bool:
        if self._thread is not None and self._thread.is_alive():
            return False
        failure: list[str] = []

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever a place does, sealing goes on
                failure.append(f"{self.place.name}: {error}")

        self._thread = threading.Thread(target=guarded, name=f"checkpoint {self.place.name}", daemon=True)
        self._thread.start()
        self._thread.join(self.patience)
        if self._thread.is_alive():
            failure.append(f"{self.place.name}: no answer within {self.patience:g} s; sealing goes on without it")
        self.trouble = failure[0] if failure else None
        return not failure


class _Log:
    """Writes each trouble to the log once, and once when it is over."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def __call__(self, result: Sealed | RemitError) -> None:
        now = (result.message,) if isinstance(result, RemitError) else result.troubles
        for trouble in now:
            if trouble not in self._known:
                log.error("sealing: %s", trouble)
        if self._known and not now:
            log.warning("sealing: in order again")
        self._known = now


def _create(path: Path, text: str) -> None:
    """Create the file with its whole content and mode 0600, unless somebody else just did."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".sealer", suffix=".new")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
