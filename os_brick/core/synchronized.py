# SPDX-License-Identifier: Apache-2.0
"""oslo's decorator for locks, in the directory of ours: a public name that nothing here uses."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import ParamSpec, TypeVar

from oslo_concurrency import lockutils

from os_brick.core.locks import PREFIX, directory

P = ParamSpec('P')
T = TypeVar('T')


def synchronized(
    name: str,
    lock_file_prefix: str = PREFIX,
    external: bool = False,
    lock_path: str | None = None,
    semaphores: lockutils.Semaphores | None = None,
    delay: float = 0.01,
    fair: bool = False,
    blocking: bool = True,
) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Decorate a function to run under a lock of this name, for callers outside.

    The function is not run, and ``None`` returned, if the lock is taken and ``blocking`` is not
    set. Our own code uses :func:`hold`, which has a deadline.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
            where = lock_path or (directory() if external else None)
            try:
                with lockutils.lock(
                    name,
                    lock_file_prefix,
                    external,
                    where,
                    semaphores=semaphores,
                    delay=delay,
                    fair=fair,
                    blocking=blocking,
                ):
                    return function(*args, **kwargs)
            except lockutils.AcquireLockFailedException:
                return None

        return call

    return decorate
