# SPDX-License-Identifier: Apache-2.0
"""The service's side of the privileged daemon: start and calls have a limit, forks are safe.

oslo.privsep has a limit for the wait for an answer, and no other. All calls of a service share the
threads of one daemon, so one kind of call that hangs would stop the others. Here each call

* waits for the daemon's start (``daemon_start``), which another thread runs, no longer than its
  ``START_SECONDS``;
* takes a slot of its lane, so that logins that hang leave threads for short questions, and both
  leave some for what hangs in nothing;
* waits for its answer no longer than its own limit, ``BEGIN_SECONDS`` and ``SLACK_SECONDS``;
* takes of what is added to its own limit no more than the operation has left (``core/bound``), but
  for ``daemon_start.LEAST_SECONDS`` each, as it may be taking something back after the deadline;
* tells the daemon by when it has to be begun, so that nothing happens after its caller has given
  up and taken back what it had done.

What is used of oslo.privsep: of a context ``channel``, ``start_lock`` and ``conf``;
``channel.running``, ``remote_call`` with its limit (since 2.7), and in :func:`_end_waits` and
:func:`_close_copy` the parts of a channel, which are the same from 3.0 to 3.12.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import errno
import os
import threading
from typing import Any

from oslo_privsep import comm

from os_brick.core import bound, clock
from os_brick.privileged import daemon_start

# Above a call's own limit, after which a program is told to end (1 s), is killed (1 s more) and
# the answer comes: if nothing has come then, nothing will.
SLACK_SECONDS = 5.0
# Until the daemon begins with a call: all its threads may be taken where few are configured, and
# its first call of a module imports it, which takes seconds on a busy host.
BEGIN_SECONDS = 10.0
# A start that hangs for so long (a sudo that asks for a password) is left, and another one made.
START_AGAIN_SECONDS = 300.0
# The limit of a call that has no `timeout` of its own: it reads or writes a small file, or starts
# a tool that has a limit of 10 s.
PLAIN_SECONDS = 30.0

# Lanes. What has no limit of its own hangs in nothing, and may use every thread of the daemon.
SHORT = 'short'
ASKING = 'asking'
LONG = 'long'
OUTSIDE = 'outside'
# What takes longer than this does not only ask. With a short ``operation_timeout`` a flush of a
# dead path has no more than this, either, and asks like the rest.
SHORT_SECONDS = 10.0
# The share of the daemon's threads that each of the other lanes may take. What has more time also
# takes a slot of each lane of what has less; commands of callers outside have 600 s.
_SHARES = {ASKING: 0.9, LONG: 0.75, OUTSIDE: 0.5}

_SLOTS: dict[str, tuple[str, ...]] = {
    SHORT: (),
    ASKING: (ASKING,),
    LONG: (LONG, ASKING),
    OUTSIDE: (OUTSIDE, LONG, ASKING),
}
_NO_THREAD = 'a free thread of the privileged daemon for {}'
_MOMENT_SECONDS = 0.1

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
        if self.replace is not None or self.seconds is None or self.lane in {LONG, OUTSIDE}:
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
        self._start: daemon_start.Start | None = None
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
                    raise daemon_start.timed_out(_NO_THREAD.format(order.name), order.seconds)
                slots.callback(slot.release)
            order = order.after(clock.monotonic() - begun)
            return self._send(order.within(bound.remaining()))

    def _send(self, order: Order) -> Any:
        channel = self._context.channel
        if channel is None:
            raise OSError(errno.EPIPE, 'The privileged daemon has died')
        limit, kwargs = None, order.kwargs
        if order.seconds is not None:
            begin = daemon_start.within(BEGIN_SECONDS, bound.remaining() - order.seconds)
            limit = begin + order.seconds + SLACK_SECONDS
            kwargs = {**kwargs, BEGIN_BY: clock.monotonic() + begin}
        try:
            # Not through the context, which would start a daemon itself, without a limit.
            return channel.remote_call(order.name, order.args, kwargs, limit)
        except comm.PrivsepTimeout:
            pass
        raise daemon_start.timed_out(
            f'the answer of the privileged daemon to {order.name}', order.seconds
        )

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

    def _current_start(self, dead: Any) -> daemon_start.Start:
        """The start that is under way, or a new one."""
        now = clock.monotonic()
        start = self._start
        is_under_way = start is not None and not start.has_ended
        if start is not None and is_under_way and now - start.begun < START_AGAIN_SECONDS:
            return start
        if self._context.channel is dead:
            self._context.channel = None
            _close_copy(dead)
        self._start = daemon_start.Start(self._context, self._adopt)
        return self._start

    def _adopt(self, start: daemon_start.Start, channel: Any) -> None:
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


def lane_of(seconds: float | None) -> str:
    """The lane of a call with such a limit of its own."""
    return ASKING if seconds is not None and seconds <= SHORT_SECONDS else LONG


def require_in_time(name: str, begin_by: float | None) -> None:
    """Refuse, in the daemon, a call whose caller has given up by now.

    :raises OperationTimedOut: if it comes too late.
    """
    if begin_by is not None and clock.monotonic() > begin_by:
        raise daemon_start.timed_out(_NO_THREAD.format(name), BEGIN_SECONDS)


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
