# SPDX-License-Identifier: Apache-2.0
"""Several errors of one operation, raised as one."""

from collections.abc import Iterator
import contextlib
import textwrap
import traceback
import types
from typing import Any

from oslo_log import log as logging

from os_brick.exception.base import BrickException

LOG = logging.getLogger(__name__)


class ExceptionChainer(BrickException):
    """Several errors, collected by work that goes on after an error; raised by a forced detach.

    Its text has all of them with their tracebacks; the first one comes first and is usually the
    cause of the others.

    ::

        chain = ExceptionChainer()
        for disk in disks:
            with chain.context(force, 'Removing %s failed', disk):
                remove(disk)
        if chain:
            raise chain

    It is true once it has an error. The first error is its ``__cause__``. The
    text of all tracebacks is in ``args``, so it survives being sent from the
    privileged daemon. A context has its own settings, so contexts may be nested
    or run in several threads.
    """

    message = 'No error was recorded.'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A second argument is there only when this object is rebuilt from its
        # own args; a text alone does not record an error.
        rebuilt = len(args) == 2 and isinstance(args[1], int)
        super().__init__(*args[:1], **kwargs)
        self._texts: list[str] = []
        self._rebuilt = str(args[0]) if rebuilt and args[1] else ''
        if self._rebuilt:
            self.args = tuple(args)

    def portable_args(self) -> tuple[Any, ...]:
        """Return ``args``: they rebuild this error as they are."""
        return self.args

    @property
    def count(self) -> int:
        """How many errors were recorded here."""
        return len(self._texts)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __bool__(self) -> bool:
        return bool(self._texts or self._rebuilt)

    def __nonzero__(self) -> bool:
        return bool(self)

    def __str__(self) -> str:
        return '\n'.join([*filter(None, [self._rebuilt]), *self._texts])

    __repr__ = __str__

    def add_exception(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: types.TracebackType | None,
    ) -> None:
        """Record one error with its traceback."""
        lines = ''.join(traceback.format_exception(exc_type, exc_val, exc_tb)).rstrip()
        heading = f'Chained exception #{len(self._texts) + 1}'
        self._texts.append(f'{heading}\n{textwrap.indent(lines, chr(9))}')
        if self.__cause__ is None:
            self.__cause__ = exc_val
        self.args = (str(self), len(self._texts))

    @contextlib.contextmanager
    def context(
        self, catch_exception: bool, msg: str = '', *msg_args: Any
    ) -> Iterator['ExceptionChainer']:
        """Record an error of the block; log ``msg`` as a warning; swallow it if told to.

        ``KeyboardInterrupt`` and its kind pass through untouched.
        """
        try:
            yield self
        except Exception as error:
            self.add_exception(type(error), error, error.__traceback__)
            if msg:
                LOG.warning(msg, *msg_args)
            if not catch_exception:
                raise

    def __enter__(self) -> 'ExceptionChainer':
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: types.TracebackType | None,
    ) -> None:
        """Record an error of the block and let it go on: as ``context(False)``."""
        if isinstance(exc_val, Exception):
            self.add_exception(exc_type, exc_val, exc_tb)
