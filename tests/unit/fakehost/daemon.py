# SPDX-License-Identifier: Apache-2.0
"""The privileged daemon as threads of this process, and a signal at one of its calls.

Root functions run in threads of their own, as in the daemon: who has called one may be interrupted
meanwhile, and the function goes on.
"""

from collections.abc import Callable, Iterator
import contextlib
import errno
import functools
import importlib
import inspect
import signal
import threading
from typing import Any

from os_brick import privileged
from os_brick.privileged import connection

BEFORE, AFTER = 'before', 'after'
# The same, and the daemon has the signal, too: it is in the control group of its service, and dies.
DIES_BEFORE, DIES_AFTER = 'dies before', 'dies after'
# A caller in the main thread leaves as soon as it is interrupted.
_LEAVES_SECONDS = 5.0


class Daemon:
    """A channel of oslo.privsep, as far as ``privileged/connection`` uses one.

    :ivar calls: the names of the functions that were called.
    :ivar struck: the call that the signal came at; empty if none was.
    """

    def __init__(self) -> None:
        self.running = True
        self.lock = threading.Lock()
        self.outstanding_msgs: dict[int, Any] = {}
        self._ended = threading.Event()
        self.reader_thread = self
        self.calls: list[str] = []
        self.struck = ''
        self._strike: tuple[int, str] | None = None
        self._refused: tuple[str, Callable[[], object]] | None = None
        self._inside = threading.local()

    def join(self) -> None:
        """Wait for the end of the connection."""
        self._ended.wait()

    def close(self) -> None:
        """End the connection."""
        self.running = False
        self._ended.set()

    def strike(self, number: int, when: str) -> None:
        """Have the main thread be sent SIGTERM at the call of that number, from now on and from 0.

        :param when: ``before`` its act, which is done all the same, or ``after`` it; where the
            daemon dies, too, an act that it comes before is not done. Another daemon is started for
            the next call, as ``privileged/connection`` does.
        """
        self._strike = len(self.calls) + number, when

    def refuse(self, function: str, then: Callable[[], object]) -> None:
        """Have every call of a function fail; something happens before the next call."""
        self._refused = function, then

    def calm(self) -> None:
        """Send no signal at any call from now on."""
        self._strike = None

    def remote_call(
        self, name: str, args: Any, kwargs: dict[str, Any], timeout: float | None = None
    ) -> Any:
        """What one function returns; it goes on if its caller is interrupted."""
        module, _, function = name.rpartition('.')
        call = inspect.unwrap(getattr(importlib.import_module(module), function))
        kwargs = {key: value for key, value in kwargs.items() if key != connection.BEGIN_BY}
        act = functools.partial(call, *args, **kwargs)
        if self._refused and function == self._refused[0]:
            act = self._refuse
        if getattr(self._inside, 'is_daemon', False):
            return act()
        one = _Call(act, self._when(function))
        try:
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()
            one.done.wait()
        finally:
            one.left.set()
        if one.error is not None:
            raise one.error
        return one.result

    def _when(self, function: str) -> str:
        """When the signal comes in a call; empty if it does not."""
        with self.lock:
            number, when = self._strike or (-1, '')
            is_meant = number == len(self.calls)
            self.calls.append(function)
            if is_meant:
                self.struck = f'{when} {function}'
        return when if is_meant else ''

    def _refuse(self) -> None:
        if self._refused:
            self._refused[1]()
        raise OSError(errno.EIO, 'Input/output error')

    def _serve(self, one: '_Call') -> None:
        self._inside.is_daemon = True
        one.run()


class _Call:
    """One call that is under way.

    :ivar done: set once it has ended.
    :ivar left: set once its caller has gone, with or without an answer.
    """

    def __init__(self, act: Callable[[], Any], when: str) -> None:
        self._act = act
        self._when = when
        self._is_of_main = threading.current_thread() is threading.main_thread()
        self.done, self.left = threading.Event(), threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do the act, with the signal before or after it."""
        dies = self._when in (DIES_BEFORE, DIES_AFTER)
        if self._when in (BEFORE, DIES_BEFORE):
            self._signal()
        if self._when != DIES_BEFORE:
            try:
                self.result = self._act()
            except BaseException as error:
                self.error = error
        if self._when in (AFTER, DIES_AFTER):
            self._signal()
        if dies:
            self.error = OSError(errno.EPIPE, 'The privileged daemon has died')
        self.done.set()

    def _signal(self) -> None:
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGTERM)
        if self._is_of_main:
            self.left.wait(_LEAVES_SECONDS)


@contextlib.contextmanager
def serving() -> Iterator[Daemon]:
    """A daemon that serves this process, in which SIGTERM raises SystemExit once."""

    def end(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit

    found, default = Daemon(), privileged.default
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, end)
    default.channel = found
    default.set_client_mode(True)
    try:
        yield found
    finally:
        default.set_client_mode(False)
        default.channel = None
        found.close()
        signal.signal(signal.SIGTERM, before)
