# SPDX-License-Identifier: Apache-2.0
"""Operations as metrics of prometheus-client, for a service that serves them.

No volume, portal or WWID is in a label. What is on the host ``os-brick metrics`` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import prometheus_client  # type: ignore[import-not-found, unused-ignore]

from os_brick.core import observe

BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_OF = ('operation', 'protocol')


def listen(registry: Any = None) -> Callable[[], None]:
    """Have operations be counted; return what ends that.

    :param registry: of prometheus-client, if not its own.
    """
    more = {} if registry is None else {'registry': registry}
    operations = prometheus_client.Histogram(
        *('os_brick_operation_duration_seconds', 'How long operations took.', (*_OF, 'outcome')),
        **{'buckets': BUCKETS, **more},
    )
    steps = prometheus_client.Histogram(
        *('os_brick_step_duration_seconds', 'How long their steps took.', ('step',)),
        **{'buckets': BUCKETS, **more},
    )
    errors = prometheus_client.Counter(
        *('os_brick_errors_total', 'What they ended in.', (*_OF, 'code')), **more
    )

    def hear(record: observe.Record) -> None:
        if isinstance(record, observe.Step):
            steps.labels(record.name).observe(record.seconds)
        elif isinstance(record, observe.Ended):
            of = record.operation, record.protocol
            operations.labels(*of, record.outcome).observe(record.seconds)
            if record.code:
                errors.labels(*of, record.code).inc()

    return observe.observe(hear)
