# SPDX-License-Identifier: Apache-2.0
"""An RBD image as a file; consumers find it in ``linuxrbd``."""

from __future__ import annotations

import contextlib
import errno
import io
import operator
import os
from typing import TYPE_CHECKING, Any, NoReturn
import warnings

from oslo_log import log as logging

from os_brick import opts
from os_brick.core import lifetimes, native
from os_brick.host import rbd_image, rbd_stream

if TYPE_CHECKING:
    from os_brick.initiator import linuxrbd

LOG = logging.getLogger(__name__)

_LARGEST_SIZE = 2**63 - 1

_Parts = tuple[
    rbd_image.Image, rbd_stream.Reader | rbd_stream.Plain, rbd_stream.Writer | rbd_stream.Plain
]


class RBDVolumeIOWrapper(io.RawIOBase):
    """An image as a file: a whole ``io.RawIOBase``, to be read and written as a stream.

    It reads ahead and writes behind, several objects at a time. A write that fails later is
    raised by the next ``write``, ``flush`` or ``close``; ``flush`` returns once all is safe in the
    cluster. A write behind the end of the image is an error and writes nothing: it does not grow.
    Threads may share it; each call is one turn. A forked process cannot use it: there a call is an
    error, and ``close`` leaves the image to the process that has opened it.
    """

    def __init__(self, rbd_volume: linuxrbd.RBDImageMetadata) -> None:
        super().__init__()
        self._meta = rbd_volume
        self._offset = 0
        self._name = _name(rbd_volume)
        self._turn = native.Turn(self._name)
        self._owned = lifetimes.Owned(self._name, rbd_volume.image)
        self._parts: _Parts | None = None
        # Whether something was written since the last flush that succeeded.
        self._is_written = False
        # Whether the caller has had the image, and may have written to it.
        self._is_lent = False
        self._is_ending = False
        self._seconds = opts.current().operation_seconds

    # Which image it is

    @property
    def rbd_image(self) -> Any:
        """The open image. All that was written is in it, though perhaps not yet safe."""
        if self._parts and not self.closed:
            with self._taken():
                # The caller may change the image.
                _image, reader, writer = self._parts
                reader.forget()
                writer.settle()
        self._is_lent = True
        return self._meta.image

    @property
    def rbd_user(self) -> str:
        """The user that it was opened as."""
        return self._meta.user

    @property
    def rbd_pool(self) -> str:
        """Its pool."""
        return self._meta.pool

    @property
    def rbd_conf(self) -> str:
        """The path of the configuration that it was opened with."""
        return self._meta.conf

    def __repr__(self) -> str:
        state = ' closed' if self.closed else ''
        return f'<{type(self).__name__} {self._name}{state}>'

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Refuse a copy, as Python's files: it would close the image of this one."""
        raise TypeError(f'{self!r} cannot be copied')

    # What it stands on

    def _stream(self) -> _Parts:
        """The image and its streams, made at the first use: the image is asked then."""
        if self._parts is None:
            image = rbd_image.Image(self._meta.image, self._name)
            self._parts = (image, *rbd_stream.of_image(image))
        return self._parts

    def _taken(self) -> contextlib.AbstractContextManager[None]:
        # First: the turn of a thread that a forked process has not got would never come.
        self._owned.check()
        return self._turn.taken(self._seconds)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError('I/O operation on closed file.')

    # Where it is

    def readable(self) -> bool:
        """Whether it can be read."""
        self._check_open()
        return True

    def writable(self) -> bool:
        """Whether it can be written: not a snapshot, nor what was opened to be read only."""
        self._check_open()
        return getattr(self._meta.image, 'read_only', None) is not True

    def seekable(self) -> bool:
        """Return ``True``."""
        self._check_open()
        return True

    def fileno(self) -> NoReturn:
        """Raise: an image has no file descriptor. ``requests`` asks for it."""
        raise io.UnsupportedOperation('fileno')

    def tell(self) -> int:
        """The offset of the next read or write."""
        self._check_open()
        return self._offset

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to an offset from the start, from here, or from the end; returns it.

        :raises OSError: if that is before the start, or ``whence`` is not 0, 1 or 2.
        """
        with self._taken():
            self._check_open()
            if whence not in {os.SEEK_SET, os.SEEK_CUR, os.SEEK_END}:
                raise OSError(errno.EINVAL, f'whence is {whence!r}, not 0, 1 or 2')
            start = 0
            if whence:
                start = self._offset if whence == os.SEEK_CUR else self._stream()[0].size()
            found = start + operator.index(offset)
            if found < 0:
                raise OSError(errno.EINVAL, f'offset {found} is before the start of {self._name}')
            self._offset = found
            return found

    # Reading

    def read(self, length: int | None = None) -> bytes:
        """The next bytes, as many as are asked for and the image has; all that follow without.

        :raises OSError: if they cannot be read; the position stays.
        """
        with self._taken():
            self._check_open()
            wanted = -1 if length is None else operator.index(length)
            parts = self._read(wanted)
            data = parts[0] if len(parts) == 1 else b''.join(parts)
            self._offset += len(data)
            return data

    def readall(self) -> bytes:
        """All bytes from here to the end."""
        return self.read(-1)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the image goes; returns how many bytes.

        :raises TypeError: if it is read-only; the position stays.
        """
        with self._taken():
            self._check_open()
            view = memoryview(buffer).cast('B')
            if view.readonly:
                raise TypeError(f'{type(buffer).__name__} is a read-only buffer')
            done = 0
            for part in self._read(len(view)):
                view[done : done + len(part)] = part
                done += len(part)
            self._offset += done
            return done

    def _read(self, length: int) -> list[bytes]:
        """The bytes that follow, in parts; the caller moves on once it has them in their place."""
        image, reader, writer = self._stream()
        writer.settle()
        size = image.size() if length < 0 else image.size_for(self._offset + length)
        end = size if length < 0 else min(size, self._offset + length)
        if end <= self._offset:
            return []
        try:
            return reader.read(self._offset, end, size)
        except OSError:
            # EINVAL if another client has made the image smaller meanwhile.
            if image.size() > self._offset:
                raise
            return []

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes at an offset, as far as the image goes; the position is left alone."""
        with self._taken():
            self._check_open()
            image, _reader, writer = self._stream()
            writer.settle()
            end = min(offset + length, image.size())
            return image.read(offset, end).result() if offset < end else b''

    # Writing

    def write(self, data: Any) -> int:
        """Take all bytes of ``data``; returns how many.

        :raises OSError: ``ENOSPC`` if they go behind the end of the image, else what has become of
            an earlier write; nothing of ``data`` is written then, and the position stays.
        """
        with self._taken():
            self._check_open()
            self._check_writable()
            image, reader, writer = self._stream()
            view = data if isinstance(data, bytes) else memoryview(data).cast('B')
            end = self._offset + len(view)
            # An object without a size of objects says itself what it does not take.
            if image.object_bytes and len(view) and end > image.size_for(end):
                text = f'{self._name} ends before byte {end}'
                raise OSError(errno.ENOSPC, text)
            reader.forget()
            self._is_written = True
            writer.write(view, self._offset)
            self._offset = end
            return len(view)

    def _check_writable(self) -> None:
        if not self.writable():
            raise io.UnsupportedOperation(f'{self._name} was opened to be read only')

    def truncate(self, size: int | None = None) -> int:
        """Make the image smaller or larger: so many bytes, or up to the position; returns that."""
        with self._taken():
            self._check_open()
            self._check_writable()
            wanted = self._offset if size is None else operator.index(size)
            if wanted < 0:
                raise OSError(errno.EINVAL, f'{wanted} is not a size')
            if wanted > _LARGEST_SIZE:
                raise OSError(errno.EFBIG, f'{wanted} bytes are more than an image can have')
            image, reader, writer = self._stream()
            reader.forget()
            writer.flush()
            image.resize(wanted)
            return wanted

    def flush(self) -> None:
        """Return once all that was written is safe in the cluster.

        :raises OSError: if something of it is not.
        """
        if self._is_ending:
            # Called by super().close(), and it has been done.
            self._check_open()
            return
        with self._taken():
            self._check_open()
            self._flush()

    def _flush(self) -> None:
        if not self._is_written and not self._is_lent:
            return
        was_clean = self._parts is None or self._parts[2].is_clean
        try:
            if self._parts is None:
                rbd_image.asked(self._meta.image.flush)
            else:
                self._parts[2].flush()
        except OSError as error:
            # The holder of the image may close it first, as cinder does. Nothing is lost if
            # nothing was written.
            if not rbd_image.is_closed(error) or not was_clean:
                raise
            LOG.warning('%s was closed before this file of it', self._name)
        self._is_written = False

    def close(self) -> None:
        """Flush and close the image, and with it the connection of an :class:`RBDVolume`.

        It is closed in any case but one: while a call of another thread takes longer than the time
        limit it stays open, and can be closed again. In a forked process the image is left alone.

        :raises OSError: if something that was written is not safe in the cluster.
        :raises TimeoutError: if another thread uses it.
        """
        if self._owned.is_inherited:
            self._end()
        elif not self.closed:
            self._close()

    def _close(self) -> None:
        try:
            # In one turn, so that nothing is written between the two.
            with self._taken():
                if self.closed:
                    return
                try:
                    self._flush()
                finally:
                    self._end()
        except BaseException:
            if self.closed:
                self._close_image_after_error()
            raise
        rbd_image.asked(self._meta.image.close)

    def _end(self) -> None:
        """Have ``closed`` be true."""
        self._is_ending = True
        super().close()

    def _close_image_after_error(self) -> None:
        try:
            rbd_image.asked(self._meta.image.close)
        except Exception as error:  # noqa: BLE001 the first error is raised
            LOG.error('%s: closing it has failed, too: %s', self._name, error)

    def __del__(self) -> None:
        """Close it, if its holder has not: an error can only go to the log then."""
        if self.closed or not hasattr(self, '_is_ending'):
            return
        if not self._owned.is_inherited:
            warnings.warn(f'unclosed {self!r}', ResourceWarning, stacklevel=2, source=self)
        try:
            with native.blocking():
                self.close()
        except Exception:
            LOG.exception('%s was not closed; what was written last may be lost', self._name)


def _name(meta: linuxrbd.RBDImageMetadata) -> str:
    name = getattr(meta.image, 'name', None)
    return f'image {meta.pool}/{name}' if isinstance(name, str) else f'an image of pool {meta.pool}'
