# SPDX-License-Identifier: Apache-2.0
"""The service's side of the privileged daemon: start and calls have a limit, forks are safe.

oslo.privsep has a limit for the wait for an answer, and no other. All calls of a service share the
threads of one daemon, so one kind of call that hangs would stop the others. Here each call

* waits for the daemon's start, which another thread runs, no longer than ``START_SECONDS``;
* takes a slot of its lane, so that logins that hang leave threads for short questions;
* waits for its answer no longer than its own limit, ``BEGIN_SECONDS`` and ``SLACK_SECONDS``;
* takes of what is added to its own limit no more than the operation has left (``core/bound``), but
  for ``LEAST_SECONDS`` each, as it may be taking something back after the deadline;
* tells the daemon by when it has to be begun, so that nothing happens after its caller has given
  up and taken back what it had done.

What is used of oslo.privsep: ``PrivContext.start`` and ``helper_command``, ``channel``,
``start_lock`` and ``conf``;
``channel.running``, ``remote_call`` with its limit (since 2.7), and in :func:`_end_waits` and
:func:`_close_copy` the parts of a channel, which are the same from 3.0 to 3.12.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import errno
import os
import socket
import threading
from typing import Any

from oslo_privsep import comm

from os_brick.core import bound, clock

# Above a call's own limit, after which a program is told to end (1 s), is killed (1 s more) and
# the answer comes: if nothing has come then, nothing will.
SLACK_SECONDS = 5.0
# Until the daemon begins with a call: all its threads may be taken where few are configured, and
# its first call of a module imports it, which takes seconds on a busy host.
BEGIN_SECONDS = 10.0
# sudo that asks LDAP, and the start of a Python from a cold disk.
START_SECONDS = 60.0
# What a call gets of these, and the start of a daemon, after the operation's deadline.
LEAST_SECONDS = 5.0
# A start that hangs for so long (a sudo that asks for a password) is left, and another one made.
START_AGAIN_SECONDS = 300.0
# The limit of a call that has no `timeout` of its own: it reads or writes a small file, or starts
# a tool that has a limit of 10 s.
PLAIN_SECONDS = 30.0

# Lanes. A short question may use every thread of the daemon.
SHORT = 'short'
LONG = 'long'
OUTSIDE = 'outside'
# What takes longer than this is not a short question.
SHORT_SECONDS = 10.0
# The share of the daemon's threads that each of the other lanes may take. Commands of callers
# outside, which have 600 s each, also take a slot of the long ones.
_SHARES = {LONG: 0.75, OUTSIDE: 0.5}

_SLOTS: dict[str, tuple[str, ...]] = {SHORT: (), LONG: (LONG,), OUTSIDE: (OUTSIDE, LONG)}
_NO_THREAD = 'a free thread of the privileged daemon for {}'
_MOMENT_SECONDS = 0.1
# How often one that starts the daemon looks whether the program is there still, and after how many
# such looks without it nothing is expected any more.
_LOOK_SECONDS = 0.2
_LOST_LOOKS = 3
_LOST = 'the program has ended, and the daemon has not connected'

# The keyword by which a call tells the daemon by when it has to begin, on the clock that all
# processes of a host share (CLOCK_MONOTONIC).
BEGIN_BY = '_begin_by'


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """One call of a root function.

    :ivar seconds: its limit, ``None`` for none.
    :ivar replace: puts what is left of the limit among the arguments, where it is one of them.
    """

    name: str
    args: tuple[Any, ...] = dataclasses.field(repr=False)
    kwargs: dict[str, Any] = dataclasses.field(repr=False)
    lane: str
    seconds: float | None
    replace: Callable[..., tuple[Any, Any]] | None = None

    def patience(self, waited: float) -> float | None:
        """How long it may wait for a slot, after it has waited for another; ``None``: for ever."""
        if self.seconds is None:
            return None
        # What cannot make do with less afterwards must not wait for long. A caller's own command
        # has 600 s by default, and may wait as long for others like it.
        can_wait = self.replace is not None or self.lane == OUTSIDE
        longest = self.seconds if can_wait else min(self.seconds, SLACK_SECONDS)
        return max(0.0, longest - waited)

    def within(self, left: float) -> Order:
        """The same one for an operation that has so many seconds left.

        One with a limit of its own keeps it, as its caller knows the deadline. What starts a tool
        without one has 10 s for that.
        """
        if self.replace is not None or self.seconds is None or self.lane != SHORT:
            return self
        return dataclasses.replace(self, seconds=min(self.seconds, max(left, SHORT_SECONDS)))

    def after(self, waited: float) -> Order:
        """The same one with what is left of its limit, so that it ends when it would have."""
        if self.replace is None or self.seconds is None or waited < _MOMENT_SECONDS:
            return self
        left = max(self.seconds - waited, _MOMENT_SECONDS)
        args, kwargs = self.replace(left, self.args, self.kwargs)
        return dataclasses.replace(self, args=args, kwargs=kwargs, seconds=left)


class Connection:
    """The connection of this process to the daemon of one context."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._renew()
        os.register_at_fork(after_in_child=self._after_fork)

    def _renew(self) -> None:
        self._guard = threading.Lock()
        self._watched: object | None = None
        self._start: _Start | None = None
        self._slots: dict[str, threading.Semaphore] | None = None

    def _after_fork(self) -> None:
        """In a process forked from this one: the daemon is its parent's.

        To close the connection as oslo.privsep does would end it for the parent, which shares it.
        A lock may have been held by a thread that is not here.
        """
        channel, self._context.channel = self._context.channel, None
        self._context.start_lock = threading.Lock()
        self._renew()
        _close_copy(channel)

    def call(self, order: Order) -> Any:
        """What one root function returns.

        :raises OperationTimedOut: if the daemon does not answer in time.
        :raises BrickException: if the daemon does not start.
        :raises OSError: if it dies meanwhile.
        """
        self._connect()
        begun = clock.monotonic()
        with contextlib.ExitStack() as slots:
            for lane in _SLOTS[order.lane]:
                slot = self._lanes()[lane]
                if not slot.acquire(timeout=order.patience(clock.monotonic() - begun)):
                    raise _timed_out(_NO_THREAD.format(order.name), order.seconds)
                slots.callback(slot.release)
            order = order.after(clock.monotonic() - begun)
            return self._send(order.within(bound.remaining()))

    def _send(self, order: Order) -> Any:
        channel = self._context.channel
        if channel is None:
            raise OSError(errno.EPIPE, 'The privileged daemon has died')
        limit, kwargs = None, order.kwargs
        if order.seconds is not None:
            begin = _within(BEGIN_SECONDS, bound.remaining() - order.seconds)
            limit = begin + order.seconds + SLACK_SECONDS
            kwargs = {**kwargs, BEGIN_BY: clock.monotonic() + begin}
        try:
            # Not through the context, which would start a daemon itself, without a limit.
            return channel.remote_call(order.name, order.args, kwargs, limit)
        except comm.PrivsepTimeout:
            pass
        raise _timed_out(f'the answer of the privileged daemon to {order.name}', order.seconds)

    def _lanes(self) -> dict[str, threading.Semaphore]:
        with self._guard:
            if self._slots is None:
                threads = self._context.conf.thread_pool_size
                self._slots = {
                    lane: threading.Semaphore(max(1, int(threads * share)))
                    for lane, share in _SHARES.items()
                }
            return self._slots

    # The start, and the end.

    def _connect(self) -> None:
        """Have a daemon that answers.

        :raises BrickException: if it does not start, or not in time.
        """
        channel = self._context.channel
        if channel is None or not channel.running:
            with self._guard:
                start = self._current_start(channel)
            start.wait()
        self.watch()

    def _current_start(self, dead: Any) -> _Start:
        """The start that is under way, or a new one."""
        now = clock.monotonic()
        start = self._start
        is_under_way = start is not None and not start.has_ended
        if start is not None and is_under_way and now - start.begun < START_AGAIN_SECONDS:
            return start
        if self._context.channel is dead:
            self._context.channel = None
            _close_copy(dead)
        self._start = _Start(self._context, self._adopt)
        return self._start

    def _adopt(self, start: _Start, channel: Any) -> None:
        """Take the connection of a start, unless another start has been made meanwhile."""
        with self._guard:
            is_wanted = self._start is start and self._context.channel is None
            if is_wanted:
                self._context.channel = channel
        if not is_wanted:
            channel.close()  # Its daemon ends then.

    def watch(self) -> None:
        """Have nothing wait for the daemon any longer when it dies."""
        channel = self._context.channel
        if channel is None or channel is self._watched:
            return
        with self._guard:
            if channel is not self._watched:
                self._watched = channel
                threading.Thread(
                    target=_end_waits, args=(channel,), name='os-brick daemon', daemon=True
                ).start()


class _Start:
    """The start of a daemon in a thread of its own: oslo.privsep waits for sudo without a limit.

    :param adopt: takes the connection, or closes it where another start has made one meanwhile.
    """

    def __init__(self, context: Any, adopt: Callable[[_Start, Any], object]) -> None:
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
        limit = _within(START_SECONDS, bound.remaining())
        ends = clock.monotonic() + limit
        lost = 0
        while not self._ended.wait(min(_LOOK_SECONDS, max(0.0, ends - clock.monotonic()))):
            if clock.monotonic() > ends:
                what = 'the start of the privileged daemon (does sudo ask for a password?)'
                raise _timed_out(what, limit)
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
        return self._context.helper_command(place)

    def has_lost_its_helper(self) -> bool:
        """Whether the program has ended, and nothing has connected."""
        from os_brick.core import files  # Not before it is needed: the daemon imports this.

        if not self._place or not files.exists(self._place):  # It goes with the connection.
            return False
        threads = [f'/proc/self/task/{each}/children' for each in files.names('/proc/self/task')]
        if not any(map(files.exists, threads)):  # CONFIG_PROC_CHILDREN
            return False
        children = ' '.join(map(files.read_or, threads)).split()
        lines = [files.read_or(f'/proc/{each}/cmdline') for each in children]
        # One whose line this process may not read (hidepid) may be the program.
        return not any(not line or self._place in line for line in lines)

    def end(self, ended: threading.Event) -> None:
        """Have the start end with an error: it gets a connection that is shut at once."""
        from os_brick.core import kernel  # Not before it is needed: the daemon imports this.

        with contextlib.suppress(OSError), kernel.connect(self._place, _LOOK_SECONDS) as connection:
            # What it may have sent already is not dropped before it has read the end.
            connection.shutdown(socket.SHUT_RDWR)
            ended.wait(LEAST_SECONDS)


def _within(seconds: float, left: float) -> float:
    """A limit of so many seconds, cut to what is left of an operation."""
    return min(seconds, max(left, LEAST_SECONDS))


def lane_of(seconds: float | None) -> str:
    """The lane of a call with such a limit."""
    return SHORT if seconds is not None and seconds <= SHORT_SECONDS else LONG


def require_in_time(name: str, begin_by: float | None) -> None:
    """Refuse, in the daemon, a call whose caller has given up by now.

    :raises OperationTimedOut: if it comes too late.
    """
    if begin_by is not None and clock.monotonic() > begin_by:
        raise _timed_out(_NO_THREAD.format(name), BEGIN_SECONDS)


def _timed_out(what: str, seconds: float | None) -> Exception:
    from os_brick import exception  # Not before it is needed: the daemon imports this.

    return exception.OperationTimedOut(what=what, seconds=round(seconds or 0, 1))


def _end_waits(channel: Any) -> None:
    """Have nothing wait for a daemon that has died, and the next call start another one.

    oslo.privsep sees to that where it reads the end of the connection. Where the daemon had not
    read a request yet, it gets ECONNRESET instead, its reader dies, and callers wait for ever.
    """
    channel.reader_thread.join()
    with channel.lock:
        if channel.running:
            channel.running = False
            for answer in channel.outstanding_msgs.values():
                answer.set_exception(OSError(errno.EPIPE, 'The privileged daemon has died'))


def _close_copy(channel: Any) -> None:
    """Close this process's descriptor of a connection; another process's stays open."""
    with contextlib.suppress(AttributeError, OSError):
        channel.writer.writesock.close()
