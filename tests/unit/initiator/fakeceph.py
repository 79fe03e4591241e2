# SPDX-License-Identifier: Apache-2.0
"""A Ceph cluster behind its Python bindings: what stands in the place of ``rados`` and ``rbd``.

Written from Ceph's documentation of the bindings; what that leaves open was looked up in 16.2.15
by calling it (a write over the end is cut and reported as done; ``close`` tells no error; a closed
image says so without a number). Requests that are under way are done when someone waits, in an
order that the documentation does not promise: a random one.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import errno
import os
import random
import types
from typing import Any

CLIENT = {'client_mount_timeout': '300', 'rados_mon_op_timeout': '0', 'rados_osd_op_timeout': '0'}


class RadosError(Exception):
    """``rados.Error``."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number


class RadosTimedOut(RadosError):
    """``rados.TimedOut``."""


class RbdError(Exception):
    """``rbd.Error``."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number


class ImageNotFound(RbdError):
    """``rbd.ImageNotFound``."""


class InvalidArgument(RbdError):
    """``rbd.InvalidArgument``."""


for _class in (RadosError, RadosTimedOut):
    _class.__module__ = 'rados'
    _class.__name__ = _class.__name__.removeprefix('Rados')
for _class in (RbdError, ImageNotFound, InvalidArgument):
    _class.__module__ = 'rbd'


@dataclasses.dataclass
class Stored:
    """An image in the cluster."""

    data: bytearray
    object_bytes: int
    snapshots: dict[str, bytes] = dataclasses.field(default_factory=dict)


class Completion:
    """A request under way; ``act`` does it and returns a code and the data of a read."""

    def __init__(self, image: Image, act: Callable[[], tuple[int, Any]], done: Any) -> None:
        self._image = image
        self._act = act
        self._call_back = done
        self.code: int | None = None

    def do(self) -> None:
        self.code, data = self._act()
        self._call_back(self, *data)

    def is_complete(self) -> bool:
        return self.code is not None

    def get_return_value(self) -> int:
        assert self.code is not None
        return self.code

    def wait_for_complete_and_cb(self) -> None:
        self._image.do_until(self)


class Cluster:
    """The servers, and who is connected.

    :ivar fail: called with ``write``, ``read``, ``flush``, ``close`` and an offset before it is
        done; a number that it returns is the error.
    :ivar close_takes: called while librbd closes an image, which the binding calls closed by then.
    :ivar most: the most requests and bytes that were under way at once.
    """

    def __init__(self, seed: int = 0) -> None:
        self.pools: dict[tuple[str, str], dict[str, Stored]] = {('rbd', ''): {}}
        self.users = {'admin', 'cinder'}
        self.config = dict(CLIENT)
        self.answers = True
        self.fail: Callable[[str, int], int] = lambda _what, _offset: 0
        self.close_takes: Callable[[], object] = lambda: None
        self.random = random.Random(seed)
        self.clients: list[Rados] = []
        self.images: list[Image] = []
        self.calls: list[tuple[str, int, int]] = []
        self.most = 0
        self.most_bytes = 0
        self.rados = types.SimpleNamespace(
            Error=RadosError, TimedOut=RadosTimedOut, Rados=lambda **words: Rados(self, **words)
        )
        self.rbd = types.SimpleNamespace(
            Error=RbdError,
            ImageNotFound=ImageNotFound,
            InvalidArgument=InvalidArgument,
            Image=lambda ioctx, name, snapshot=None, read_only=False: Image(
                ioctx, name, snapshot, read_only=read_only
            ),
        )

    def create(
        self,
        name: str,
        size: int,
        object_bytes: int = 1 << 22,
        pool: str = 'rbd',
        namespace: str = '',
    ) -> Stored:
        image = Stored(bytearray(size), object_bytes)
        self.pools.setdefault((pool, namespace), {})[name] = image
        return image

    def assert_closed(self) -> None:
        """Nothing is open: no connection, pool or image."""
        assert not [each for each in self.images if not each.is_closed]
        for client in self.clients:
            assert client.is_shut_down
            assert all(ioctx.is_closed for ioctx in client.ioctxs)


class Rados:
    """``rados.Rados``."""

    def __init__(self, cluster: Cluster, **words: Any) -> None:
        self.cluster = cluster
        self.words = words
        self.conf = dict(cluster.config)
        self.is_shut_down = False
        self.ioctxs: list[Ioctx] = []
        if words['conffile'] == '/missing':
            raise RadosError('error calling conf_read_file', errno.ENOENT)
        cluster.clients.append(self)

    def conf_get(self, name: str) -> str:
        return self.conf[name]

    def conf_set(self, name: str, value: str) -> None:
        assert isinstance(value, str)
        assert name in self.conf
        self.conf[name] = value

    def connect(self) -> None:
        if not self.cluster.answers:
            raise RadosTimedOut('error connecting to the cluster', errno.ETIMEDOUT)
        if (self.words['rados_id'] or 'admin') not in self.cluster.users:
            raise RadosError('error connecting to the cluster', errno.EACCES)

    def open_ioctx(self, pool: str) -> Ioctx:
        assert isinstance(pool, str)
        if not any(pool == each for each, _namespace in self.cluster.pools):
            raise RadosError(f'error opening pool {pool!r}', errno.ENOENT)
        ioctx = Ioctx(self, pool)
        self.ioctxs.append(ioctx)
        return ioctx

    def shutdown(self) -> None:
        self.is_shut_down = True


class Ioctx:
    """``rados.Ioctx``."""

    def __init__(self, client: Rados, pool: str) -> None:
        self.client = client
        self.place = (pool, '')
        self.is_closed = False

    def set_namespace(self, name: str) -> None:
        self.place = (self.place[0], name)

    def close(self) -> None:
        self.is_closed = True


class Image:
    """``rbd.Image``."""

    def __init__(self, ioctx: Ioctx, name: str, snapshot: str | None, *, read_only: bool) -> None:
        assert not ioctx.is_closed, 'librbd crashes'
        self.client = ioctx.client
        self.cluster = ioctx.client.cluster
        stored = self.cluster.pools.get(ioctx.place, {}).get(name)
        if stored is None or (snapshot is not None and snapshot not in stored.snapshots):
            raise ImageNotFound(f'error opening image {name!r} at snapshot {snapshot!r}', 2)
        self.stored = stored
        self.data = stored.data if snapshot is None else bytearray(stored.snapshots[snapshot])
        self.may_write = not read_only and snapshot is None
        self.is_closed = False
        self.begun: list[tuple[Completion, int]] = []
        self.cluster.images.append(self)

    def _check_open(self) -> None:
        if self.is_closed:
            raise InvalidArgument('RBD invalid argument (image is closed)')

    def _begin(self, completion: Completion, size: int) -> Completion:
        self.begun.append((completion, size))
        self.cluster.most = max(self.cluster.most, len(self.begun))
        under_way = sum(each for _completion, each in self.begun)
        self.cluster.most_bytes = max(self.cluster.most_bytes, under_way)
        return completion

    def do_until(self, completion: Completion | None) -> None:
        """Do what is under way in any order, until one of it is done, or all."""
        while self.begun and (completion is None or not completion.is_complete()):
            chosen = self.cluster.random.randrange(len(self.begun))
            self.begun.pop(chosen)[0].do()

    def stat(self) -> dict[str, Any]:
        self._check_open()
        return {'size': len(self.data), 'obj_size': self.stored.object_bytes, 'parent_name': b''}

    def size(self) -> int:
        self._check_open()
        return len(self.data)

    def aio_read(self, offset: int, length: int, oncomplete: Any, _flags: int = 0) -> Completion:
        self._check_open()

        def act() -> tuple[int, tuple[bytes | None]]:
            self.cluster.calls.append(('read', offset, length))
            failed = self.cluster.fail('read', offset)
            failed = failed or (errno.EINVAL if offset >= len(self.data) and length else 0)
            if failed:
                return -failed, (None,)
            data = bytes(self.data[offset : offset + length])
            return len(data), (data,)

        return self._begin(Completion(self, act, oncomplete), length)

    def aio_write(self, data: bytes, offset: int, oncomplete: Any, _flags: int = 0) -> Completion:
        self._check_open()
        assert isinstance(data, bytes)

        def act() -> tuple[int, tuple[()]]:
            self.cluster.calls.append(('write', offset, len(data)))
            failed = self.cluster.fail('write', offset)
            failed = failed or (0 if self.may_write else errno.EROFS)
            failed = failed or (errno.EINVAL if offset >= len(self.data) else 0)
            if failed:
                return -failed, ()
            fits = data[: len(self.data) - offset]
            self.data[offset : offset + len(fits)] = fits
            return 0, ()

        return self._begin(Completion(self, act, oncomplete), len(data))

    def flush(self) -> None:
        self._check_open()
        self.do_until(None)
        self.cluster.calls.append(('flush', 0, 0))
        failed = self.cluster.fail('flush', 0)
        if failed:
            raise RbdError(f'[errno {failed}] {os.strerror(failed)} (error flushing image)', failed)

    def resize(self, size: int) -> None:
        self._check_open()
        self.do_until(None)
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def get_name(self) -> str:
        self._check_open()
        return 'an image'

    def close(self) -> None:
        if not self.is_closed:
            # As rbd.pyx: this first, so that a second close does not wait for librbd.
            self.is_closed = True
            self.do_until(None)
            self.cluster.close_takes()
            assert not self.client.is_shut_down, 'librbd crashes'
            failed = self.cluster.fail('close', 0)
            if failed:
                raise RbdError('error while closing image', failed)
