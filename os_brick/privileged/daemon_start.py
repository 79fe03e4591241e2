# SPDX-License-Identifier: Apache-2.0
"""The start of the privileged daemon, which no one waits for without a limit.

What is used of oslo.privsep: ``PrivContext.start`` and ``helper_command``, and in their place of
the context ``channel``, ``start_lock`` and what it has besides.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import os
import socket
import sys
import threading
from typing import Any

from os_brick.core import bound, clock

# sudo that asks LDAP, and the start of a Python from a cold disk.
START_SECONDS = 60.0
# What the start of a daemon, and what is added to a call's limit, get after the deadline.
LEAST_SECONDS = 5.0
# How often one that starts the daemon looks whether the program is there still, and after how many
# such looks without it nothing is expected any more.
_LOOK_SECONDS = 0.2
_LOST_LOOKS = 3
_HELPER = (
    'import sys; sys.modules["eventlet"] = None; '
    'from oslo_privsep.daemon import helper_main; '
    'del sys.modules["eventlet"]; helper_main()'
)
_LOST = 'the program has ended, and the daemon has not connected'


class Start:
    """The start of a daemon in a thread of its own: oslo.privsep waits for sudo without a limit.

    :param adopt: takes the connection, or closes it where another start has made one meanwhile.
    """

    def __init__(self, context: Any, adopt: Callable[[Start, Any], object]) -> None:
        self.begun = clock.monotonic()
        self._stand_in = _StandIn(context)
        self._adopt = adopt
        self._ended = threading.Event()
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name='os-brick daemon start', daemon=True).start()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def _run(self) -> None:
        try:
            self._adopt(self, self._stand_in.start())
        except BaseException as error:  # noqa: BLE001 raised by all that wait for it
            self._error = error
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Wait for its end.

        :raises BrickException: if it fails, or takes too long.
        """
        limit = within(START_SECONDS, bound.remaining())
        ends = clock.monotonic() + limit
        lost = 0
        while not self._ended.wait(min(_LOOK_SECONDS, max(0.0, ends - clock.monotonic()))):
            if clock.monotonic() > ends:
                what = 'the start of the privileged daemon (does sudo ask for a password?)'
                raise timed_out(what, limit)
            lost = lost + 1 if self._stand_in.has_lost_its_helper() else 0
            if lost == _LOST_LOOKS:
                self._stand_in.end(self._ended)
        if self._error is not None:
            from os_brick import exception  # Not before it is needed: the daemon imports this.

            why = _LOST if lost >= _LOST_LOOKS else self._error
            raise exception.BrickException(
                f'The privileged daemon cannot be started: {why}; '
                'the log of the service has the command and its output'
            ) from self._error


class _StandIn:
    """In the place of a context while a daemon is started for it.

    oslo.privsep starts a program, waits until that has ended, and then for ever for a connection,
    which the program makes before it ends. In a service that ignores SIGCHLD the kernel tells no
    one how a program has ended, so that one that has failed is waited for (Linux, kernel/exit.c).
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self.channel: Any = None
        self.start_lock = threading.Lock()
        self._place = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def start(self) -> Any:
        """Start a daemon; return the connection to it."""
        type(self._context).start(self)
        return self.channel

    def helper_command(self, place: str) -> Any:
        """What is started; it connects to the socket at this place."""
        self._place = place
        return for_root(self._context.helper_command(place))

    def has_lost_its_helper(self) -> bool:
        """Whether the program has ended, and nothing has connected."""
        from os_brick.core import glance  # Not before it is needed: the daemon imports this.

        if not self._place or not glance.exists(self._place):  # It goes with the connection.
            return False
        threads = [f'/proc/self/task/{each}/children' for each in glance.names('/proc/self/task')]
        if not any(map(glance.exists, threads)):  # CONFIG_PROC_CHILDREN
            return False
        children = ' '.join(map(glance.read_or, threads)).split()
        lines = [glance.read_or(f'/proc/{each}/cmdline') for each in children]
        # One whose line this process may not read (hidepid) may be the program.
        return not any(not line or self._place in line for line in lines)

    def end(self, ended: threading.Event) -> None:
        """Have the start end with an error: it gets a connection that is shut at once."""
        from os_brick.core import kernel  # Not before it is needed: the daemon imports this.

        with contextlib.suppress(OSError), kernel.connect(self._place, _LOOK_SECONDS) as connection:
            # What it may have sent already is not dropped before it has read the end.
            connection.shutdown(socket.SHUT_RDWR)
            ended.wait(LEAST_SECONDS)


def for_root(command: list[str]) -> list[str]:
    """Return what starts the daemon, by this Python's own helper where nothing is configured.

    oslo.privsep's default is ``sudo privsep-helper``. A process that is root needs no sudo, which
    containers do not have, and the first helper in PATH may be another Python's, without os-brick.

    oslo.privsep 3.12 imports eventlet, to see whether it has patched anything, which it has not in
    a Python that has just begun: with that, the daemon's start takes up to twice as long.
    """
    if os.geteuid() != 0 or command[:2] != ['sudo', 'privsep-helper']:
        return command
    own = os.path.join(os.path.dirname(sys.executable), 'privsep-helper')
    # What embeds a Python (uWSGI) has its own name there.
    is_python = os.path.basename(sys.executable).startswith('python')
    has_helper = not is_python and os.access(own, os.X_OK)
    helper = [own] if has_helper else [sys.executable, '-c', _HELPER]
    return [*helper, *command[2:]]


def within(seconds: float, left: float) -> float:
    """A limit of so many seconds, cut to what is left of an operation."""
    return min(seconds, max(left, LEAST_SECONDS))


def timed_out(what: str, seconds: float | None) -> Exception:
    from os_brick import exception  # Not before it is needed: the daemon imports this.

    return exception.OperationTimedOut(what=what, seconds=round(seconds or 0, 1))
