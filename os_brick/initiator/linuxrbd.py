# SPDX-License-Identifier: Apache-2.0
"""RBD images through librbd: a connection, an open image, and the image as a file.

The distribution's Python bindings (``python3-rbd``, ``python3-rados``) are imported when they are
first used; they cannot be installed with pip.
"""

from __future__ import annotations

from collections.abc import Callable
import importlib
import math
import re
import types
from typing import Any

from oslo_log import log as logging

from os_brick import exception, opts
from os_brick.core import lifetimes, native
from os_brick.initiator import linuxrbd_io

LOG = logging.getLogger(__name__)

# The bindings, once they are imported; consumers' tests put others here.
rados: Any = None
rbd: Any = None

_PACKAGES = {'rados': 'python3-rados', 'rbd': 'python3-rbd'}
_NUMBER = re.compile(r'\d+(?:\.\d+)?')

RBDVolumeIOWrapper = linuxrbd_io.RBDVolumeIOWrapper


def _binding(name: str) -> Any:
    """The module ``rados`` or ``rbd``.

    :raises InvalidParameterValue: if it is not installed.
    """
    if globals()[name] is None:
        try:
            globals()[name] = importlib.import_module(name)
        except ImportError as error:
            raise exception.InvalidParameterValue(
                err=f'The Python module {name} cannot be imported ({error}). Install the system '
                f'package {_PACKAGES[name]}, for the Python that runs this service.'
            ) from error
    return globals()[name]


def _text(value: str | bytes | None) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _seconds(value: Any) -> float:
    found = value or opts.current().operation_seconds
    if not isinstance(found, (int, float)) or not 0 < found < math.inf:
        text = f'operation_seconds: {value!r} is not a number of seconds'
        raise exception.InvalidParameterValue(err=text)
    return found


class RBDClient:
    """A connection to a pool of a cluster, or to a namespace of it.

    Connecting ends within the time limit of an operation, and each read and write within half of
    it, also when the cluster does not answer: librados has no such limits by default. What
    ceph.conf limits is left as it is.

    :ivar client: the ``rados.Rados``.
    :ivar ioctx: the ``rados.Ioctx``; ``None`` after :meth:`disconnect`: librbd crashes on a
        closed one.
    """

    def __init__(self, user: str, pool: str, *args: Any, **kwargs: Any) -> None:
        """Connect.

        :param user: without the ``client.`` in front; nothing for the default one.
        :param conffile: the configuration, ``/etc/ceph/ceph.conf`` by default.
        :param rbd_cluster_name: ``ceph`` by default.
        :param namespace: a namespace of the pool; the default one without.
        :param operation_seconds: the time limit; ``[os_brick] operation_timeout`` by default.
        :param rados: another module in the place of Ceph's binding, as ``rbd``.
        :raises InvalidParameterValue: if Ceph's Python bindings are not installed, or the time
            limit is not a number.
        :raises OperationTimedOut: if the cluster does not answer.
        :raises BrickException: if the connection cannot be made for another reason.
        """
        self.rbd_user: Any = _text(user)
        self.rbd_pool: Any = _text(pool)
        self.rados: Any = kwargs.get('rados') or _binding('rados')
        self.rbd: Any = kwargs.get('rbd') or _binding('rbd')
        self.rbd_conf: Any = kwargs.get('conffile', '/etc/ceph/ceph.conf')
        self.rbd_cluster_name: Any = kwargs.get('rbd_cluster_name', 'ceph')
        self.rbd_namespace: str = _text(kwargs.get('namespace')) or ''
        self.seconds = _seconds(kwargs.get('operation_seconds'))
        self.client: Any = None
        self.ioctx: Any = None
        self.client, self.ioctx = self.connect()
        self._owned = lifetimes.Owned(f'pool {self.rbd_pool}', self.client, self.ioctx)
        self._connection = lifetimes.Shared((self.client, self.ioctx), _disconnected)

    def __enter__(self) -> RBDClient:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.disconnect()

    def connect(self) -> tuple[Any, Any]:
        """Return a new connection and the pool opened in it; nothing stays open on an error."""
        LOG.debug(
            'Connecting to pool %s of cluster %s as %s, with %s',
            *(self.rbd_pool, self.rbd_cluster_name, self.rbd_user, self.rbd_conf),
        )
        try:
            return native.made(self._connected, _close_both)
        except self.rados.Error as error:
            raise self._error(error) from error

    def _connected(self) -> tuple[Any, Any]:
        client = self.rados.Rados(
            rados_id=self.rbd_user or None,
            clustername=self.rbd_cluster_name,
            conffile=self.rbd_conf,
        )
        try:
            _limit(client, self.seconds)
            client.connect()
            ioctx = client.open_ioctx(self.rbd_pool)
            if self.rbd_namespace:
                ioctx.set_namespace(self.rbd_namespace)
        except BaseException:
            client.shutdown()
            raise
        return client, ioctx

    def _error(self, error: Exception) -> exception.BrickException:
        what = f'pool {self.rbd_pool} of Ceph cluster {self.rbd_cluster_name}'
        if type(error).__name__ == 'TimedOut':
            return exception.OperationTimedOut(what=what, seconds=self.seconds)
        return exception.BrickException(
            f'Connecting as user {self.rbd_user} to {what} failed: {error}'
        )

    def lend(self) -> Any:
        """The pool, to open one image in it; the connection stays until :meth:`give_back`.

        :raises BrickException: if it is disconnected, or of the process this one was forked from.
        """
        ioctx = self.ioctx  # before the question: disconnect forgets it after it has given up
        if self._owned.is_inherited or not self._connection.use():
            why = 'was connected before this process was forked'
            why = why if self._owned.is_inherited else 'is disconnected'
            raise exception.BrickException(f'The client of pool {self.rbd_pool} {why}.')
        return ioctx

    def give_back(self) -> None:
        """Tell that an image is closed, or was not opened."""
        self._connection.let_go()

    def disconnect(self) -> None:
        """Close the pool and the connection; nothing if that has been done.

        While an image is open in the pool, is being opened or being closed, both stay until it is
        closed: librbd crashes without them. In a forked process they are left alone.
        """
        try:
            if not self._owned.is_inherited:
                self._connection.give_up()
        finally:
            self.ioctx = None


def _disconnected(connection: tuple[Any, Any]) -> None:
    native.call(_close_both, connection)


def _close_both(connection: tuple[Any, Any]) -> None:
    client, ioctx = connection
    try:
        ioctx.close()
    finally:
        client.shutdown()


def _limit(client: Any, seconds: float) -> None:
    """Have calls into librados end in time; by default (0) they have no limit.

    Half of it each, because what we call waits twice, one after the other (measured with 16.2):
    a connection for the monitors' map and for its key, a flush for the cache and for the OSDs.
    """
    half = max(1, math.floor(seconds / 2))
    mount = _configured(client, 'client_mount_timeout')
    if not 0 < mount <= half:
        client.conf_set('client_mount_timeout', str(half))
    for name in ('rados_mon_op_timeout', 'rados_osd_op_timeout'):
        if not _configured(client, name):
            client.conf_set(name, str(half))


def _configured(client: Any, name: str) -> float:
    found = _NUMBER.match(str(client.conf_get(name)))
    return float(found.group()) if found else 0.0


class RBDVolume:
    """An open image; what it does not know itself is asked of ``rbd.Image``.

    It owns its client: closing it, or a failure to open it, disconnects that.

    :ivar image: the ``rbd.Image``.
    """

    def __init__(
        self,
        client: RBDClient,
        name: str,
        snapshot: str | None = None,
        read_only: bool = False,
    ) -> None:
        """Open the image of this name in the pool and namespace that the client has opened.

        :raises rbd.Error: if it cannot be opened; ``rbd.ImageNotFound`` if there is none.
        :raises BrickException: if the client is disconnected.
        """
        self.client = client
        self.read_only = read_only or snapshot is not None
        try:
            self.name: str = _text(name)
            self.image: Any = native.made(
                self._opener(client.lend(), _text(snapshot), read_only=read_only), self._release
            )
        except BaseException:
            client.disconnect()
            raise
        self._owned = lifetimes.Owned(f'image {self.name}', self.image)
        self._closing = lifetimes.Once()

    def _opener(self, ioctx: Any, snapshot: str | None, *, read_only: bool) -> Callable[[], Any]:
        client, name = self.client, self.name

        def opened() -> Any:
            try:
                return client.rbd.Image(ioctx, name, snapshot=snapshot, read_only=read_only)
            except BaseException:
                client.give_back()
                raise

        return opened

    def close(self) -> None:
        """Close the image and disconnect the client; again is nothing.

        If the cluster does not answer it goes on in the background after the time limit: librbd
        waits for its lock and its watch (three times the limit of a call, with 16.2). It has
        nothing to write by then, if it was flushed. A call while another closes it waits for that,
        within the limit of the first. In a forked process the image is left alone.
        """
        if self._owned.is_inherited:
            return
        if not self._closing.run(self.client.seconds, self._close):
            LOG.warning('Image %s is being closed in the background', self.name)

    def _close(self) -> None:
        try:
            self._release(self.image)
        finally:
            self.client.disconnect()

    def _release(self, image: Any) -> None:
        # The binding calls an image closed before librbd has closed it, so that a second close
        # returns at once (rbd.pyx of 16.2): only who has called it first knows when it has ended.
        try:
            image.close()
        finally:
            self.client.give_back()

    def __enter__(self) -> RBDVolume:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()

    def __getattr__(self, attrib: str) -> Any:
        # Without an image there is nothing to ask, and looking for it would end here again.
        if attrib in {'image', '_owned'} or attrib.startswith('__'):
            raise AttributeError(attrib)
        self._owned.check()
        return getattr(self.image, attrib)


class RBDImageMetadata:
    """An open image and what is needed to open it again.

    :ivar image: an ``rbd.Image`` or an :class:`RBDVolume`.
    """

    def __init__(self, image: Any, pool: str | None, user: str | None, conf: str | None) -> None:
        self.image = image
        self.pool: str = _text(pool or '')
        self.user: str = _text(user or '')
        self.conf: str = _text(conf or '')
