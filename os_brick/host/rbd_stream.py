# SPDX-License-Identifier: Apache-2.0
"""Reading and writing an RBD image as a stream: several objects at a time, in bounded memory.

A stream asks for whole objects, because each is another server's work: while one is written to its
replicas, the next are under way. At most :data:`MOST_READS` objects are read ahead and
:data:`MOST_WRITES` written behind, and at most :data:`MOST_BYTES`.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
import errno

from oslo_log import log as logging

from os_brick.host import rbd_image

LOG = logging.getLogger(__name__)

# `rbd import` and `rbd export` have 10 requests under way (rbd_concurrent_management_ops). Reads
# are fewer, because the binding allocates a buffer for each, and with few of them memory is used
# again. Four of 4 MiB are 400 MB/s where an object takes 40 ms. Figures: contributor/measures.
MOST_READS = 4
MOST_WRITES = 8
MOST_BYTES = 32 * 1024 * 1024
# Objects may have up to 32 MiB; of such large ones a part is a request.
_LARGEST_UNIT = 8 * 1024 * 1024
# One request of more overflows the 32 bit lengths that some versions of librbd have inside.
_LONGEST_READ = 1024 * 1024 * 1024


def unit_of(object_bytes: int) -> int:
    """How many bytes one request has, so that none touches two objects without need."""
    unit = object_bytes
    while unit > _LARGEST_UNIT and unit % 2 == 0:
        unit //= 2
    return unit


def pieces(start: int, end: int, unit: int) -> Iterator[tuple[int, int]]:
    """Cut a range at the multiples of ``unit``."""
    while start < end:
        stop = min(end, start - start % unit + unit)
        yield start, stop
        start = stop


def window_of(unit: int, most: int) -> int:
    """How many bytes that many requests may have together."""
    return max(unit, min(MOST_BYTES // unit, most) * unit)


class Reader:
    """Reads an image, and ahead of a reader that goes on where it has stopped.

    The first read after a jump asks for what is wanted only; each that follows where the one
    before has ended doubles what is asked for ahead.
    """

    def __init__(self, image: rbd_image.Image, unit: int) -> None:
        self._image = image
        self._unit = unit
        self._window = window_of(unit, MOST_READS)
        self._ahead = 0
        self._at = -1
        self._next = -1
        self._begun: collections.deque[rbd_image.Request] = collections.deque()
        # The request that is being read, and how much of it has been.
        self._head = b''
        self._used = 0
        # Requests that no one wants any more have their memory until they end.
        self._unwanted: collections.deque[rbd_image.Request] = collections.deque()

    def forget(self) -> None:
        """Drop what has been read ahead: it may not be true any more."""
        self._unwanted.extend(self._begun)
        self._begun.clear()
        self._head, self._used = b'', 0
        self._at = self._next = -1

    def read(self, start: int, end: int, size: int) -> list[bytes]:
        """The bytes of a range, in parts; fewer if the image has become smaller.

        :param size: that of the image, not before ``end``.
        :raises OSError: if they cannot be read. What is read next begins anew.
        """
        try:
            if start == self._at:
                self._ahead = min(self._window, max(self._unit, self._ahead * 2))
            else:
                self.forget()
                self._ahead = 0
                self._at = self._next = start
            self._ask(end, size)
            return self._take(end)
        except BaseException:
            self.forget()
            raise

    def _ask(self, end: int, size: int) -> None:
        if end - self._next >= self._window:
            # librbd itself reads all objects of a large request side by side, into one buffer.
            for begin, stop in pieces(self._next, end, _LONGEST_READ):
                self._begin(begin, stop)
            return
        goal = end
        if self._ahead:
            whole = -(-end // self._unit) * self._unit
            goal = max(whole, (end + self._ahead) // self._unit * self._unit)
        for begin, stop in pieces(self._next, min(goal, size), self._unit):
            self._begin(begin, stop)

    def _begin(self, start: int, end: int) -> None:
        while self._unwanted and len(self._unwanted) + len(self._begun) >= MOST_READS:
            _ended(self._unwanted[0])
            self._unwanted.popleft()
        self._begun.append(self._image.read(start, end))
        self._next = end

    def _take(self, end: int) -> list[bytes]:
        parts = []
        while self._at < end:
            is_last = not self._head and self._is_short()
            part = self._part(end - self._at)
            self._at += len(part)
            parts.append(part)
            if is_last:
                # The image has become smaller.
                self.forget()
                break
        return parts

    def _is_short(self) -> bool:
        """Wait for the next request; whether the image ends in it."""
        request = self._begun[0]
        self._head, self._used = request.result(), 0
        self._begun.popleft()
        return len(self._head) < request.end - request.start

    def _part(self, most: int) -> bytes:
        stop = min(len(self._head), self._used + most)
        part = self._head[self._used : stop]
        self._used = stop
        if stop == len(self._head):
            self._head, self._used = b'', 0
        return part


def _ended(request: rbd_image.Request) -> None:
    try:
        request.result()
    except OSError as error:
        LOG.debug('Nobody waits for it: %s', error)


class Writer:
    """Writes an image behind its caller: whole objects, several at a time.

    Each write that has failed is raised once, by what is called next.
    """

    def __init__(self, image: rbd_image.Image, unit: int) -> None:
        self._image = image
        self._unit = unit
        self._most = window_of(unit, MOST_WRITES) // unit
        self._held: list[bytes] = []
        self._start = 0
        self._end = 0
        self._begun: collections.deque[rbd_image.Request] = collections.deque()
        self._highest = 0
        self._error: OSError | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing was written since the last flush, and no error waits to be told."""
        return not self._highest and self._error is None

    def write(self, data: bytes | memoryview, start: int) -> None:
        """Take data; the caller has made sure that the image is large enough.

        :raises OSError: if an earlier write has failed; then none of this is taken.
        """
        self._collect()
        self.raise_error()
        if start != self._end:
            self._submit()
            self._start = self._end = start
        for begin, stop in pieces(start, start + len(data), self._unit):
            self._hold(bytes(data[begin - start : stop - start]), stop)
            if stop % self._unit == 0:
                self._submit()

    def _hold(self, part: bytes, end: int) -> None:
        self._held.append(part)
        self._end = end
        self._highest = max(self._highest, end)

    def _submit(self) -> None:
        """Begin to write what is held."""
        if not self._held:
            return
        while len(self._begun) >= self._most or self._overlaps():
            self._wait_for_one()
        data = self._held[0] if len(self._held) == 1 else b''.join(self._held)
        try:
            self._begun.append(self._image.write(data, self._start))
        except OSError as error:
            self._note(error)
        self._held.clear()
        self._start = self._end

    def _overlaps(self) -> bool:
        # Which of two that are under way for the same bytes is done last is anyone's guess.
        return any(each.start < self._end and self._start < each.end for each in self._begun)

    def _wait_for_one(self) -> None:
        try:
            self._begun[0].result()
        except OSError as error:
            self._note(error)
        self._begun.popleft()

    def _note(self, error: OSError) -> None:
        if self._error is None:
            self._error = error
        else:
            LOG.error('Another write in the background has failed: %s', error)

    def _collect(self) -> None:
        while self._begun and self._begun[0].is_done:
            self._wait_for_one()

    def settle(self) -> None:
        """Have all that was taken be in the image; what has failed is kept for :meth:`flush`."""
        self._submit()
        while self._begun:
            self._wait_for_one()

    def raise_error(self) -> None:
        """Raise the error of a write behind that was not told yet, if there is one."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def flush(self) -> None:
        """Return once all that was taken is safe.

        :raises OSError: if something of it is not; ``ENOSPC`` if the image was made smaller.
        """
        self.settle()
        highest, self._highest = self._highest, 0
        try:
            self._image.flush()
            if highest and highest > self._image.size():
                text = f'{self._image.name} was made smaller than {highest} bytes while written'
                raise OSError(errno.ENOSPC, text)
        except OSError as error:
            self._note(error)
        self.raise_error()


class Plain:
    """Reads and writes an image as its caller does, by one call after the other.

    For what has no more than ``read``, ``write`` and ``size``; it takes the place of a
    :class:`Reader` and of a :class:`Writer`.
    """

    is_clean = True

    def __init__(self, image: rbd_image.Image) -> None:
        self._image = image

    def forget(self) -> None:
        """Have nothing to drop."""

    def settle(self) -> None:
        """Have nothing under way."""

    def read(self, start: int, end: int, _size: int) -> list[bytes]:
        """The bytes of a range."""
        return [self._image.read(start, end).result()]

    def write(self, data: bytes | memoryview, start: int) -> None:
        """Write."""
        self._image.write(data if isinstance(data, bytes) else bytes(data), start)

    def flush(self) -> None:
        """Return once all is safe."""
        self._image.flush()


def of_image(image: rbd_image.Image) -> tuple[Reader | Plain, Writer | Plain]:
    """What reads an image and what writes it."""
    if image.object_bytes is None:
        plain = Plain(image)
        return plain, plain
    unit = unit_of(image.object_bytes)
    return Reader(image, unit), Writer(image, unit)
