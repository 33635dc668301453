"""Passes spans on to a collector, off the hot path: it reads the sealed log and never what is under way.

One worker at a time does it. How far it has come is in the database and is written down after the collector has taken a
batch: a crash loses nothing, and doubles at most one batch, whose spans have the same ids again. What a collector could
not take for an hour is dropped. No trouble here touches the work.

This module is imported only where traces are exported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from psycopg.rows import dict_row

from remit import __version__
from remit.storage import traces
from remit.storage.sessions import Db
from remit.telemetry import Contents, SpanData, Value, span_of, span_of_turn

log = logging.getLogger(__name__)

_EVERY = 1.0  # seconds between two looks at the log
_OTHERS = 5.0  # seconds between two looks whether the reader is gone
_LONGEST_PAUSE = 30.0  # seconds, after a collector has failed again and again
_BATCH = 500  # leaves
_HORIZON = timedelta(hours=1)
_SCOPE = InstrumentationScope("remit", __version__)

Clean = Callable[[Any], Any]
"""Leaves declared fields out of contents."""


class Tracing:
    """Exports the spans of one database.

    Args:
        url: The database, as the application's role.
        contents: Put prompts, arguments and results on the spans, through `clean`.
        clean: Leaves out what action types declare under `redact`.
        exporter: Where spans go; by default what the standard environment variables say.
    """

    def __init__(
        self,
        url: str,
        *,
        contents: bool = False,
        clean: Clean = lambda value: value,
        exporter: SpanExporter | None = None,
    ) -> None:
        self._url = url
        self._contents = contents
        self._clean = clean
        # Its own words repeat every second what is said once here.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._exporter = exporter or OTLPSpanExporter()
        self._resource = Resource.create(_named({"service.name": "remit", "service.version": __version__}))
        # A thread of its own: a collector that hangs must not keep one from the work.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="remit-traces")
        self._db: Db | None = None
        self._failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Export again and again until told to stop, and once more then."""
        loop = asyncio.get_running_loop()
        try:
            while not stopping.is_set():
                pause = await loop.run_in_executor(self._thread, self.look)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause)
            if not self._failures:
                await loop.run_in_executor(self._thread, self.look)
        finally:
            await loop.run_in_executor(self._thread, self.close)
            self._thread.shutdown()

    def look(self) -> float:
        """Export what is new. Returns how many seconds to wait before the next look; raises nothing."""
        try:
            db = self._lead()
            if db is None:
                return _OTHERS
            return self._drain(db)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the work goes on
            self._drop()
            return self._failed(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Let go of the database and of the collector."""
        self._drop()
        self._exporter.shutdown()

    def _drain(self, db: Db) -> float:
        start = traces.position(db)
        while True:
            batch = traces.next_batch(db, start, limit=_BATCH, horizon=_HORIZON, contents=self._contents)
            spans = [self._span(row) for row in batch.actions] + [self._turn(row) for row in batch.turns]
            if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
                return self._failed("the collector did not take them")
            if batch.until > start:
                traces.advance(db, batch.until)
            start = batch.until
            if spans and self._failures:
                log.warning("traces are exported again")
                self._failures = 0
            if batch.leaves < _BATCH:
                return _EVERY

    def _failed(self, why: str) -> float:
        self._failures += 1
        if self._failures == 1:
            log.warning("traces cannot be exported, which is tried again: %s", why)
        return float(min(_LONGEST_PAUSE, _EVERY * 2 ** min(self._failures, 10)))

    # -- the one reader ------------------------------------------------------------------------------------------

    def _lead(self) -> Db | None:
        """The connection that holds the lead; None if another process holds it."""
        if self._db is None or self._db.closed:
            # Autocommit: a transaction that is open while a collector is slow would hold up the sealer.
            self._db = psycopg.connect(
                self._url, row_factory=dict_row, autocommit=True, application_name="remit-traces"
            )
            if not traces.take_lead(self._db):
                self._drop()
        return self._db

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(psycopg.Error):
                db.close()

    # -- spans ---------------------------------------------------------------------------------------------------

    def _span(self, row: Mapping[str, Any]) -> ReadableSpan:
        return self._readable(span_of(row, self._shown(row)))

    def _turn(self, row: Mapping[str, Any]) -> ReadableSpan:
        return self._readable(span_of_turn(row, self._shown(row)))

    def _shown(self, row: Mapping[str, Any]) -> Contents | None:
        if not self._contents:
            return None
        return Contents(self._clean(row["given"]), self._clean(row["result"]), row["error"])

    def _readable(self, span: SpanData) -> ReadableSpan:
        status = Status(StatusCode.UNSET)
        attributes: dict[str, Value | Sequence[str]] = {**span.attributes}
        if span.error is not None:
            attributes["error.type"] = span.error
            status = Status(StatusCode.ERROR, span.description or None)
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT if span.kind == "client" else SpanKind.INTERNAL,
            status=status,
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=_SCOPE,
        )


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _named(ours: dict[str, str]) -> dict[str, str]:
    """Our names of the service, where the environment gives none."""
    given = Resource.create().attributes
    unnamed = str(given.get("service.name", "")).startswith("unknown_service")
    return {k: v for k, v in ours.items() if (unnamed if k == "service.name" else k not in given)}
