# SPDX-License-Identifier: Apache-2.0
"""The paths to one volume, opened for an attach: side by side, or one after the other.

The engine holds the threads, the guard and the work in the background; the transports are drivers
(:mod:`os_brick.paths.driver`) that are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import operation, undo, wait
from os_brick.paths.driver import Assembly, Driver
from os_brick.paths.path_set import PathSet
from os_brick.plans import paths as plans
from os_brick.plans import verdicts

LOG = logging.getLogger(__name__)
P = TypeVar('P')
O = TypeVar('O')  # noqa: E741 an open path
D = TypeVar('D')


def open_first(
    driver: Driver[P, O],
    assembly: Assembly[O],
    paths: Sequence[P],
    op: operation.Operation,
    use: Callable[[O, wait.Deadline, undo.Undo], D],
) -> D:
    """Use the first path that can be used; each has its share of the time.

    :param use: makes a device of an open path, or raises; what it adds to the stack is taken back
        before the path.
    :raises BrickException: if none can be: the error that decides, or all of them in one.
    """
    failures: list[Exception] = []
    deciding: Exception | None = None
    for path, share in zip(paths, plans.shares(len(paths)), strict=True):
        deadline = op.work.leaving(1 - share)
        one = PathSet(driver, assembly, (path,), plans.Policy(), op, deadline)
        try:
            with undo.Undo() as alone:
                alone.adopt(one)
                (opened,) = one.open()
                device = use(opened, deadline, alone)
        except Exception as error:  # noqa: BLE001 the next path may be better
            failures.append(error)
            deciding = verdicts.deciding_error(failures)
            is_raised = path == paths[-1] and deciding in (error, None)
            # What the host lacks is the error of the attach, unless a path does without it.
            if not is_raised and not isinstance(error, exception.HostNotReady):
                LOG.warning('%s cannot be used: %s', path, error)
        else:
            one.keep()
            return device
    if deciding is not None:
        raise deciding
    raise driver.summary([str(error) for error in failures], failures) from failures[0]
