# SPDX-License-Identifier: Apache-2.0
"""Where the records of :mod:`os_brick.core.observe` may go.

Each module is for a library that may or may not be installed, and has one function, ``listen``.
:func:`enable_found` is called by ``os_brick.setup``: a service that has imported osprofiler or
OpenTelemetry gets its operations traced without a word of its own.
"""

from __future__ import annotations

import importlib
import sys

# A library of tracing, and the module for it. Metrics are a service's own to ask for.
_TRACING = {'osprofiler.profiler': 'profiler', 'opentelemetry.trace': 'otel'}
enabled: set[str] = set()


def enable_found() -> None:
    """Have the tracing libraries that this process has imported be told of operations."""
    for library, name in _TRACING.items():
        if library in sys.modules and name not in enabled:
            enabled.add(name)
            importlib.import_module(f'os_brick.observers.{name}').listen()
