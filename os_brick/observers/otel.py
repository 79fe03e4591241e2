# SPDX-License-Identifier: Apache-2.0
"""Operations as spans of OpenTelemetry, where a tracer provider is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace  # type: ignore[import-not-found, unused-ignore]

from os_brick.core import clock, observe

_NANOSECONDS = 1_000_000_000


class Spans:
    """The spans of operations under way; their steps come from several threads."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer('os_brick')
        self._open: dict[int, Any] = {}  # Each operation is begun and ended by one thread.

    def hear(self, record: observe.Record) -> None:
        """Take a record."""
        if isinstance(record, observe.Started):
            facts = {'os_brick.protocol': record.protocol, 'os_brick.volume_id': record.volume}
            span = self._tracer.start_span(f'os_brick.{record.operation}', attributes=facts)
            self._open[record.number] = span
            return
        now = int(clock.wall() * _NANOSECONDS)
        if isinstance(record, observe.Step):
            span = self._step(record, now)
        else:
            span = self._open.pop(record.number, None)
        if span is not None:
            if record.code:
                span.set_attribute('error.type', record.code)
            span.end(end_time=now)

    def _step(self, record: observe.Step, now: int) -> Any:
        parent = self._open.get(record.number)
        return self._tracer.start_span(
            f'os_brick.{record.name}',
            context=trace.set_span_in_context(parent) if parent is not None else None,
            start_time=now - int(record.seconds * _NANOSECONDS),
        )


def listen() -> Callable[[], None]:
    """Have each operation be a span, and each of its steps one below it; return what ends that."""
    return observe.observe(Spans().hear)
