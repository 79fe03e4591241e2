# SPDX-License-Identifier: Apache-2.0
"""Operations as trace points of osprofiler, where a request is profiled: nova, cinder."""

from __future__ import annotations

from collections.abc import Callable

from osprofiler import profiler  # type: ignore[import-not-found, unused-ignore]

from os_brick.core import observe


def listen() -> Callable[[], None]:
    """Have each operation be a trace point, and each of its steps one in it; return what ends that.

    A step is told of when it has ended, so its time is in what the trace point says.
    """
    return observe.observe(_hear)


def _hear(record: observe.Record) -> None:
    found = profiler.get()  # Of this thread; the steps of other threads are not traced.
    if found is None:
        return
    if isinstance(record, observe.Started):
        found.start(f'os_brick.{record.operation}', {'protocol': record.protocol})
    elif isinstance(record, observe.Ended):
        found.stop({'outcome': record.outcome, 'seconds': record.seconds, 'error': record.code})
    else:
        found.start(f'os_brick.{record.name}', {'seconds': record.seconds, 'error': record.code})
        found.stop()
