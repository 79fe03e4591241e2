# SPDX-License-Identifier: Apache-2.0
"""The one stack of steps that take back what a failing operation has done."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from types import TracebackType
from typing import ParamSpec

from oslo_log import log as logging

LOG = logging.getLogger(__name__)
P = ParamSpec('P')


class Undo:
    """Steps that are run, last first, when the block ends in an error; else dropped.

    A step that fails is logged and noted on the error that started it, which stays the one
    that surfaces. Steps must look before they act and take back only what this operation did.
    """

    def __init__(self) -> None:
        self._steps = contextlib.ExitStack()
        self._failures: list[str] = []

    def add(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Remember one step for the case of an error."""
        name = getattr(step, '__name__', repr(step))
        self._steps.callback(self._run, lambda: step(*args, **kwargs), name)

    def drop(self) -> None:
        """Forget the steps: what they would take back was there before."""
        self._steps.pop_all()

    def _run(self, step: Callable[[], object], name: str) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 the steps before it are taken back all the same
            LOG.warning('Undoing (%s) failed: %s', name, error)
            self._failures.append(f'undoing ({name}) failed: {error}')

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.drop()
            return
        self._steps.close()
        for failure in self._failures:
            error.add_note(failure)
