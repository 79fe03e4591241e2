# SPDX-License-Identifier: Apache-2.0
"""An open RBD image, and requests to it that are under way.

What librbd does was measured with 16.2.15 and agrees with its Python binding's documentation:

* a write that begins within the image and ends behind it is cut there and reported as done;
* a read that begins behind the end is EINVAL, one that ends there is short;
* ``close`` reports nothing of writes that fail in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import errno
import os
from typing import Any, TypeVar

from os_brick.core import native

T = TypeVar('T')


class Request:
    """One read or write under way.

    :ivar start: the offset it begins at.
    :ivar end: the offset behind its last byte.
    """

    def __init__(self, what: str, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._what = what
        # The code and the data, put here by a thread of librbd. A list and no lock, because
        # eventlet's locks work in one operating system thread.
        self._outcome: list[tuple[int, bytes]] = []
        self._completion: Any = None

    def begin(self, start: Callable[[Callable[..., None]], Any]) -> Request:
        """Have ``start`` begin it, which takes what is called at its end."""
        self._completion = start(self._done)
        return self

    def succeed(self, data: bytes) -> Request:
        """Have it be one that is done already."""
        self._outcome.append((0, data))
        return self

    def _done(self, completion: Any, data: bytes | None = None) -> None:
        self._outcome.append((completion.get_return_value(), data or b''))

    @property
    def is_done(self) -> bool:
        """Whether its result is here."""
        return bool(self._outcome)

    def result(self) -> bytes:
        """Wait for its end; returns what was read.

        :raises OSError: if it has failed.
        """
        if not self._outcome:
            native.call(self._completion.wait_for_complete_and_cb)
        code, data = self._outcome[0]
        if code < 0:
            raise OSError(-code, f'{os.strerror(-code)} ({self._what})')
        return data


class Image:
    """An image as a stream needs it. It takes whatever has the methods of ``rbd.Image``.

    :ivar object_bytes: the size of its objects, which are read and written as a whole; ``None``
        if it does not tell: then it is read and written by one call after the other, as with
        objects that have no more than ``read``, ``write`` and ``size``.
    """

    def __init__(self, image: Any, name: str) -> None:
        self.raw = image
        self.name = name
        self.object_bytes = self._object_bytes()
        self._size = 0

    def _object_bytes(self) -> int | None:
        if not hasattr(self.raw, 'stat'):
            return None
        stat = asked(self.raw.stat)
        found = stat.get('obj_size') if isinstance(stat, Mapping) else None
        return found if isinstance(found, int) and found > 0 else None

    def size(self) -> int:
        """Its size in bytes, as librbd knows it: a resize by another client arrives by itself."""
        self._size = asked(self.raw.size)
        return self._size

    def size_for(self, end: int) -> int:
        """The size it had; asked anew if ``end`` lies behind it, because it may have grown."""
        return self._size if end <= self._size else self.size()

    def read(self, start: int, end: int) -> Request:
        """Begin to read. The answer is short if the image ends sooner.

        :raises OSError: if that cannot be begun.
        """
        request = Request(f'read of {end - start} bytes at {start} of {self.name}', start, end)
        if self.object_bytes is None:
            return request.succeed(native.call(self.raw.read, start, end - start))
        return request.begin(lambda done: translated(self.raw.aio_read, start, end - start, done))

    def write(self, data: bytes, start: int) -> Request:
        """Begin to write; the caller has made sure that the image is large enough.

        :raises OSError: if that cannot be begun.
        """
        what = f'write of {len(data)} bytes at {start} of {self.name}'
        request = Request(what, start, start + len(data))
        if self.object_bytes is None:
            native.call(self.raw.write, data, start)
            return request.succeed(b'')
        return request.begin(lambda done: translated(self.raw.aio_write, data, start, done))

    def flush(self) -> None:
        """Return once all that was written is safe in the cluster.

        :raises OSError: if something of it is not.
        """
        asked(self.raw.flush)

    def resize(self, size: int) -> None:
        """Make it smaller or larger."""
        asked(self.raw.resize, size)
        self._size = 0


def asked(function: Callable[..., T], *args: Any) -> T:
    """Return what a call into librbd answers, with its errors as ``OSError``."""
    return native.call(lambda: translated(function, *args))


def translated(function: Callable[..., T], *args: Any) -> T:
    """Return what a call into librbd answers, with its errors as ``OSError``."""
    try:
        return function(*args)
    except Exception as error:
        # rbd.Error has nothing to do with Python's OSError, which users of a file expect.
        if type(error).__module__ not in {'rbd', 'rados'}:
            raise
        number = getattr(error, 'errno', None) or _number(error)
        raise OSError(number, str(error)) from error


def _number(error: Exception) -> int:
    # Of an image that is closed the binding itself says so, without a number.
    return errno.EBADF if is_closed(error) else errno.EIO


def is_closed(error: BaseException) -> bool:
    """Whether an error of the binding says that the image has been closed."""
    return 'image is closed' in str(error)
