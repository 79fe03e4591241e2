# SPDX-License-Identifier: Apache-2.0
"""Base class of what runs programs through a callable that the caller may bring.

Our own code no longer runs programs through it; consumers derive from
:class:`Executor` and hand in ``execute``, so it stays.
"""

from collections.abc import Callable
import threading
from typing import Any

from oslo_concurrency import processutils as putils
from oslo_context import context as context_utils
from oslo_utils import encodeutils

from os_brick.privileged import rootwrap as priv_rootwrap

ExecuteCallable = Callable[..., Any]


class Executor:
    """Run programs with ``_execute``; further arguments of the constructor are ignored."""

    _root_helper: str | None

    def __init__(
        self,
        root_helper: str | None,
        execute: ExecuteCallable | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        # Subclasses override set_execute to hand it on, so it is called here.
        self.set_execute(execute or priv_rootwrap.execute)
        self.set_root_helper(root_helper)

    @staticmethod
    def safe_decode(string: Any) -> Any:
        """Return text without the bytes that are none; anything false as it is.

        :raises TypeError: if it is neither text nor bytes.
        """
        return encodeutils.safe_decode(string, errors='ignore') if string else string

    @classmethod
    def make_putils_error_safe(cls, exc: putils.ProcessExecutionError) -> None:
        """Make text of all that an error says, so that it can be logged."""
        for name in ('stderr', 'stdout', 'cmd', 'description'):
            value = getattr(exc, name, None)
            if value:
                setattr(exc, name, cls._decoded(value))

    @classmethod
    def _decoded(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [cls.safe_decode(item) for item in value]
        return cls.safe_decode(value)

    def _execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run a program and return its output and its errors as text.

        :raises oslo_concurrency.processutils.ProcessExecutionError: if it fails.
        """
        try:
            result = self.__execute(*args, **kwargs)
        except putils.ProcessExecutionError as error:
            self.make_putils_error_safe(error)
            raise
        if not result:
            return result
        return self.safe_decode(result[0]), self.safe_decode(result[1])

    def set_execute(self, execute: ExecuteCallable) -> None:
        """Run programs with ``execute`` from now on."""
        self.__execute = execute

    def set_root_helper(self, helper: str | None) -> None:
        """Remember the prefix of commands; only a callable of the caller uses it."""
        self._root_helper = helper


class Thread(threading.Thread):
    """A thread that logs with the request context of the thread that made it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._context = context_utils.get_current()

    def run(self) -> None:
        """Take over the context, then do the work."""
        if self._context is not None:
            self._context.update_store()
        super().run()
