# SPDX-License-Identifier: Apache-2.0
"""A Ceph of one monitor and one OSD, which keeps its objects in RAM; RBD needs no manager.

Its administrator works in this process through librados (a start of the ``ceph`` program costs
seconds under emulation). Its files are in a directory of its own, so that two clusters can be here.
"""

import base64
from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import signal
import struct
import tempfile
from typing import Any
import uuid as uuids

from tests.functional.lab import net, shell

V4, V6 = f'{net.CEPH[0]}.1', f'{net.CEPH[1]}1'
PORT = 6789  # of version 1 of the messengers' protocol, which is the kernel's default
MON, OSD = 'mon.a', 'osd.0'
DEVICES = pathlib.Path('/sys/bus/rbd/devices')
_REMOVE = '/sys/bus/rbd/remove_single_major'
_MEBIBYTE = 1 << 20
_SECONDS = 60
_LIBRARIES = '/usr/lib/x86_64-linux-gnu'
_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:{host}:3300,v1:{host}:{port}]
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
public addr = {address}
ms bind ipv4 = {is_v4}
ms bind ipv6 = {is_v6}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon data avail crit = 1
mon data avail warn = 2
mon warn on pool no redundancy = false
run dir = {place}
pid file = {place}/$name.pid
log file = {place}/$name.log
mon data = {place}/mon
osd data = {place}/osd
# The default is relative to the daemon's working directory (Debian).
osd class dir = {libraries}/rados-classes
erasure code dir = {libraries}/ceph/erasure-code
plugin dir = {libraries}/ceph
osd objectstore = memstore
memstore device bytes = 1073741824
osd memory target = 939524096
osd op num shards = 1
osd op num threads per shard = 2
ms async op threads = 1
osd heartbeat grace = 60
# A stopped OSD keeps what it has.
osd fast shutdown = false
[{mon}]
host = guest
keyring = {place}/mon/keyring
[{osd}]
keyring = {place}/osd/keyring
[client]
log file =
keyring = {place}/$name.keyring
"""


@dataclasses.dataclass(frozen=True)
class Image:
    """An image as RBD names it."""

    name: str
    pool: str = 'rbd'
    namespace: str = ''

    def __str__(self) -> str:
        return '/'.join(filter(None, (self.pool, self.namespace, self.name)))


class Cluster:
    """Pools ``rbd`` and ``other``; the image that a test makes goes with :meth:`reset`.

    :ivar fsid: the cluster's identity.
    :ivar conf: its configuration file, by which the administrator connects, too.
    :ivar hosts: addresses of its monitors, as cinder passes them; ``ports`` go with them.
    """

    POOLS = ('rbd', 'other')

    def __init__(self, address: str = V4) -> None:
        shell.modules('rbd')
        self.address = address
        self.fsid = str(uuids.uuid4())
        self.hosts, self.ports = [address], [str(PORT)]
        self.place = pathlib.Path(tempfile.mkdtemp(prefix='lab-ceph-', dir='/dev/shm'))
        self.conf = self.place / 'ceph.conf'
        self._images: list[Image] = []
        self._admin: Any = None
        bits = '128' if ':' in address else '32'
        add = ('ip', 'addr', 'add', f'{address}/{bits}', 'dev', 'lo')
        shell.run(*add, *(['nodad'] if ':' in address else []), check=False)
        try:
            self._up()
        except BaseException:
            self.close()
            raise

    def _up(self) -> None:
        is_v6 = ':' in self.address
        host = f'[{self.address}]' if is_v6 else self.address
        self.conf.write_text(
            _CONF.format(
                fsid=self.fsid,
                host=host,
                port=PORT,
                address=self.address,
                is_v4=str(not is_v6).lower(),
                is_v6=str(is_v6).lower(),
                place=self.place,
                libraries=_LIBRARIES,
                mon=MON,
                osd=OSD,
            )
        )
        for name in ('mon', 'osd'):
            (self.place / name).mkdir()
        self._make_monitor(f'[v2:{host}:3300,v1:{host}:{PORT}]')
        self.start(MON)
        self._connect()
        self._make_osd()
        self.start(OSD)
        for pool in self.POOLS:
            self.monitor(prefix='osd pool create', pool=pool, pg_num=2, pgp_num=2)
        self._admin.wait_for_latest_osdmap()
        import rbd

        for pool in self.POOLS:
            with self.pool(pool) as pool_io:
                rbd.RBD().pool_init(pool_io, True)

    def _make_monitor(self, addresses: str) -> None:
        everything = (
            '--cap',
            'mon',
            'allow *',
            '--cap',
            'osd',
            'allow *',
            '--cap',
            'mgr',
            'allow *',
        )
        admin, keys = self.place / 'client.admin.keyring', self.place / 'mon.keyring'
        make = ('ceph-authtool', '--create-keyring', '--gen-key')
        shell.run(*make, str(admin), '-n', 'client.admin', *everything)
        shell.run(*make, str(keys), '-n', 'mon.', '--cap', 'mon', 'allow *')
        keys.write_text(keys.read_text() + admin.read_text())
        table = self.place / 'monmap'
        shell.run(
            *('monmaptool', '--create', '--clobber', '--addv', 'a', addresses),
            *('--fsid', self.fsid, str(table)),
        )
        # It makes nothing in a directory that has something in it, and ends with 0.
        self._program('ceph-mon', '--mkfs', '-i', 'a', '--monmap', table, '--keyring', keys)
        keys.rename(self.place / 'mon' / 'keyring')

    def _make_osd(self) -> None:
        uuid, secret = str(uuids.uuid4()), new_secret()
        self.monitor(json.dumps({'cephx_secret': secret}), prefix='osd new', uuid=uuid)
        (self.place / 'osd' / 'keyring').write_text(f'[{OSD}]\n\tkey = {secret}\n')
        self._program('ceph-osd', '--mkfs', '-i', '0', '--osd-uuid', uuid)

    def _program(self, *words: object) -> None:
        shell.run(*map(str, words), '--conf', str(self.conf))

    def _connect(self) -> None:
        import rados

        limits = {'client_mount_timeout': '60', 'rados_osd_op_timeout': '60'}
        self._admin = rados.Rados(conffile=str(self.conf), rados_id='admin', conf=limits)
        self._admin.connect(timeout=_SECONDS)

    def monitor(self, data: str = '', **command: object) -> bytes:
        """Have the monitor do a command; what it answers."""
        code, out, err = self._admin.mon_command(json.dumps(command), data.encode(), _SECONDS)
        assert code == 0, f'{command}: {code} {err}'
        return bytes(out)

    @contextlib.contextmanager
    def pool(self, name: str = 'rbd', namespace: str = '') -> Iterator[Any]:
        """A pool opened by the administrator, as librbd's functions want it."""
        with self._admin.open_ioctx(name) as pool:
            pool.set_namespace(namespace)
            yield pool

    def namespace(self, name: str, pool: str = 'rbd') -> None:
        """Have a namespace in a pool."""
        import rbd

        with self.pool(pool) as pool_io:
            if not rbd.RBD().namespace_exists(pool_io, name):
                rbd.RBD().namespace_create(pool_io, name)

    def user(self, name: str, pool: str = 'rbd', namespace: str = '') -> str:
        """The secret of a user who may use images of a pool (or of one namespace of it)."""
        where = f'pool={pool}' + (f' namespace={namespace}' if namespace else '')
        caps = ['mon', 'profile rbd', 'osd', f'profile rbd {where}']
        self.monitor(prefix='auth get-or-create', entity=f'client.{name}')
        self.monitor(prefix='auth caps', entity=f'client.{name}', caps=caps)
        answer = self.monitor(prefix='auth print-key', entity=f'client.{name}')
        return answer.decode().strip()

    def image(
        self,
        name: str,
        megabytes: int = 16,
        pool: str = 'rbd',
        namespace: str = '',
        features: int | None = None,
    ) -> Image:
        """A new image, all zeros."""
        import rbd

        found = Image(name, pool, namespace)
        with self.pool(pool, namespace) as pool_io:
            rbd.RBD().create(pool_io, name, megabytes * _MEBIBYTE, features=features)
        self._images.append(found)
        return found

    @contextlib.contextmanager
    def opened(self, image: Image, *, snapshot: str | None = None) -> Iterator[Any]:
        """An image opened by the administrator: a watcher, as another host's."""
        import rbd

        with (
            self.pool(image.pool, image.namespace) as pool_io,
            rbd.Image(pool_io, image.name, snapshot=snapshot) as handle,
        ):
            yield handle

    def write(self, image: Image, data: bytes, offset: int = 0) -> None:
        """Write to an image, as another host would."""
        with self.opened(image) as handle:
            handle.write(data, offset)

    def read(self, image: Image, size: int, offset: int = 0) -> bytes:
        """What an image has."""
        with self.opened(image) as handle:
            return bytes(handle.read(offset, size))

    def grow(self, image: Image, megabytes: int) -> None:
        """Have an image be larger."""
        with self.opened(image) as handle:
            handle.resize(megabytes * _MEBIBYTE)

    def watchers(self, image: Image) -> list[str]:
        """The addresses of the clients that have an image open."""
        import rbd

        with (
            self.pool(image.pool, image.namespace) as pool_io,
            rbd.Image(pool_io, image.name, read_only=True) as handle,
        ):
            return [each['addr'] for each in handle.watchers_list()]

    def evict(self, image: Image) -> None:
        """Have the clients that have an image open be gone, as if they had died long ago."""
        for address in self.watchers(image):
            self.monitor(prefix='osd blocklist', blocklistop='add', addr=address)

    def properties(self, image: Image, user: str = 'cinder', **more: object) -> dict[str, Any]:
        """What cinder passes for a volume that is this image; the user is made."""
        self.user(user, image.pool, image.namespace)
        return {
            'name': str(image),
            'hosts': list(self.hosts),
            'ports': list(self.ports),
            'cluster_name': 'ceph',
            'auth_enabled': True,
            'auth_username': user,
            'secret_type': 'ceph',
            'secret_uuid': None,
            'volume_id': image.name,
            'discard': True,
            **more,
        }

    def keyring(self, user: str = 'cinder', pool: str = 'rbd', namespace: str = '') -> str:
        """The text of a user's keyring; the user is made."""
        return f'[client.{user}]\n\tkey = {self.user(user, pool, namespace)}\n'

    def pid(self, daemon: str) -> int:
        """The process of a daemon, ``MON`` or ``OSD``; 0 if it has been stopped."""
        found = int(shell.read(self.place / f'{daemon}.pid') or '0')
        return found if found and pathlib.Path(f'/proc/{found}').exists() else 0

    def start(self, daemon: str) -> None:
        """Start a daemon that has been stopped."""
        kind, _, number = daemon.partition('.')
        self._program(f'ceph-{kind}', '-i', number)

    def stop(self, daemon: str) -> None:
        """End a daemon; an OSD keeps its objects."""
        found = self.pid(daemon)
        os.kill(found, signal.SIGTERM)
        shell.until(lambda: not self.pid(daemon), 30, f'{daemon} has ended')

    def hang(self, daemon: str) -> None:
        """Have a daemon answer nothing more, with its connections open."""
        os.kill(self.pid(daemon), signal.SIGSTOP)

    def resume(self, daemon: str) -> None:
        """Have it go on."""
        os.kill(self.pid(daemon), signal.SIGCONT)

    def maps(self) -> list[pathlib.Path]:
        """The devices of ``/sys/bus/rbd`` that are images of this cluster."""
        return [each for each in devices() if shell.read(each / 'cluster_fsid') == self.fsid]

    def reset(self) -> None:
        """Have both daemons run, and no image.

        :raises AssertionError: if an image is mapped or open; it is removed all the same.
        """
        for daemon in (MON, OSD):
            if self.pid(daemon):
                self.resume(daemon)
            else:
                self.start(daemon)
        left = [describe(each) for each in self.maps()]
        for device in self.maps():
            unmap(device.name)
        while self._images:
            image = self._images.pop()
            try:
                shell.until(lambda image=image: not self.watchers(image), 10, 'none has it open')
            except AssertionError:
                left.append(f'{image} open by {self.watchers(image)}')
                self.evict(image)
                shell.until(lambda image=image: not self.watchers(image), 10, 'none has it open')
            self._remove(image)
        assert not left, f'left of Ceph: {"; ".join(left)}'

    def _remove(self, image: Image) -> None:
        import rbd

        with self.pool(image.pool, image.namespace) as pool_io:
            try:
                with rbd.Image(pool_io, image.name) as handle:
                    for snapshot in list(handle.list_snaps()):
                        if handle.is_protected_snap(snapshot['name']):
                            handle.unprotect_snap(snapshot['name'])
                        handle.remove_snap(snapshot['name'])
                rbd.RBD().remove(pool_io, image.name)
            except rbd.ImageNotFound:
                pass  # The test has removed it.

    def close(self) -> None:
        """Take it away."""
        if self._admin is not None:
            for device in self.maps():
                unmap(device.name)
            self._admin.shutdown()
        for daemon in (OSD, MON):
            found = self.pid(daemon)
            if found:
                os.kill(found, signal.SIGKILL)
                shell.until(lambda daemon=daemon: not self.pid(daemon), 10, f'{daemon} has gone')
        bits = '128' if ':' in self.address else '32'
        shell.run('ip', 'addr', 'del', f'{self.address}/{bits}', 'dev', 'lo', check=False)
        shutil.rmtree(self.place, ignore_errors=True)


def new_secret() -> str:
    """A key as Ceph writes it: type, time, length and 16 random bytes, in base 64."""
    return base64.b64encode(struct.pack('<HIIH', 1, 0, 0, 16) + secrets.token_bytes(16)).decode()


def devices() -> list[pathlib.Path]:
    """The directories of mapped images; none where the module is not loaded."""
    return sorted(DEVICES.iterdir()) if DEVICES.exists() else []


def describe(device: pathlib.Path) -> str:
    """``rbd0 FSID pool/namespace/image@snapshot``."""
    words = {
        name: shell.read(device / name) for name in ('pool', 'pool_ns', 'name', 'current_snap')
    }
    image = '/'.join(filter(None, (words['pool'], words['pool_ns'], words['name'])))
    return f'rbd{device.name} {shell.read(device / "cluster_fsid")} {image}@{words["current_snap"]}'


def mapped() -> frozenset[str]:
    """Every mapped image of this host, for the oracle."""
    return frozenset(describe(device) for device in devices())


def unmap(number: str, *, force: bool = True) -> None:
    """Take a mapping away, with its I/O (for what a test left)."""
    with contextlib.suppress(OSError):
        shell.write(_REMOVE, f'{number} force' if force else number)


def sweep(known: frozenset[str]) -> None:
    """Take the mappings away that were not there before."""
    for device in devices():
        if describe(device) not in known:
            unmap(device.name)
