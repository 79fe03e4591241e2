# SPDX-License-Identifier: Apache-2.0
"""A kernel that maps images of Ceph, and the clusters that it asks.

After drivers/block/rbd.c of Linux 6.12 and what it was seen to do in the guest: one write to
``add_single_major`` and ``remove_single_major``, a directory of attributes for each map.
"""

import base64
from collections.abc import Callable
import dataclasses
import errno
import itertools
import pathlib
from typing import Any

from os_brick.core import children, files
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import kernel as fake_kernel

BUS = '/sys/bus/rbd'
SECRET = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='
_NO_SNAPSHOT = '18446744073709551614'
_ids = itertools.count(0x1000)


@dataclasses.dataclass
class Image:
    """An image of a cluster. ``locked``: another client holds it. ``features``: that Linux has."""

    size: int = 16 << 20
    snapshots: dict[str, int] = dataclasses.field(default_factory=dict)
    locked: bool = False
    supported: bool = True
    number: str = dataclasses.field(default_factory=lambda: f'{next(_ids):x}')


@dataclasses.dataclass
class Cluster:
    """A cluster. ``images`` by pool, namespace and name; ``users`` with their secrets."""

    fsid: str
    monitors: set[str]
    images: dict[tuple[str, str, str], Image] = dataclasses.field(default_factory=dict)
    users: dict[str, str] = dataclasses.field(default_factory=lambda: {'cinder': SECRET})
    pools: tuple[str, ...] = ('rbd', 'other')
    hung: bool = False

    def image(self, name: str, pool: str = 'rbd', namespace: str = '', **more: Any) -> Image:
        found = self.images[pool, namespace, name] = Image(**more)
        return found

    def properties(self, name: str, **more: Any) -> dict[str, Any]:
        """Connection properties of an image, with the user's key."""
        pairs = [monitor.rpartition(':') for monitor in sorted(self.monitors)]
        return {
            'name': name,
            'hosts': [host.strip('[]') for host, _, _ in pairs],
            'ports': [port for _, _, port in pairs],
            'cluster_name': 'ceph',
            'auth_username': 'cinder',
            'keyring': f'[client.cinder]\n\tkey = {self.users["cinder"]}\n',
            'do_local_attach': True,
            **more,
        }


@dataclasses.dataclass
class Map:
    """A mapped image. ``is_open``: a process has it open, so it is unmapped with force alone."""

    number: int
    cluster: Cluster
    pool: str
    namespace: str
    name: str
    snapshot: str
    image: Image
    told: str
    read_only: bool
    is_open: bool = False
    size: int = 0


class _Kernel(fake_kernel.Kernel):
    """With keys."""

    def __init__(self, host: 'RbdHost') -> None:
        super().__init__(host)
        self.keys: dict[int, tuple[str, str, bytes]] = {}
        self.used: list[tuple[str, str, bytes]] = []

    def add_key(self, kind: str, name: str, value: bytes) -> int:
        number = 100 + len(self.keys)
        self.keys[number] = (kind, name, value)
        return number

    def drop_key(self, number: int) -> None:
        # The kernel looks for it in the write, which is answered here when the child is done.
        self.used.append(self.keys.pop(number))


class RbdHost(fake_host.Host):
    """A host with the module ``rbd``; several clusters can be reached.

    :ivar written: what was written to the kernel's files, in its order.
    """

    def __init__(self, place: pathlib.Path, *, single_major: bool = True) -> None:
        super().__init__(place)
        self.clusters: list[Cluster] = []
        self.rbd: dict[int, Map] = {}
        self.written: list[str] = []
        self.verbs = ('add', 'remove')
        self.suffix = '_single_major' if single_major else ''
        self.keyrings = _Kernel(self)
        # Called before each map: what happens between a look and it.
        self.before_map: Callable[[], object] = lambda: None
        self._refused: OSError | None = None

    def revive(self) -> None:
        """No fault any more: another process, or a kernel that goes on."""
        self._fault = None

    def kernel(self) -> fake_kernel.Kernel:
        return self.keyrings

    def __enter__(self) -> 'RbdHost':
        super().__enter__()
        for verb in self.verbs:
            self.tree.file(f'{BUS}/{verb}{self.suffix}')
        for place in (f'{BUS}/devices', '/sys/devices/rbd', '/etc/ceph', '/tmp'):
            self.tree.directory(place)
        return self

    def cluster(self, name: str = 'one', *monitors: str) -> Cluster:
        """A new cluster; its monitors are ``address:port``."""
        fsid = f'{name:f<8}-0000-4000-8000-000000000000'
        found = Cluster(fsid, set(monitors) or {f'10.0.0.{len(self.clusters) + 1}:6789'})
        self.clusters.append(found)
        return found

    def isolated(self, call: children.Call, timeout: float) -> Any:
        """As a child does it: the kernel's answer to a write is the writer's."""
        self._refused = None
        if call.func.__name__ == '_add':
            self.before_map()
        return super().isolated(call, timeout)

    def done(self, call: children.Call) -> Any:
        """What a call gives once the kernel has seen what it wrote.

        :raises OSError: what the kernel answers.
        """
        found = call()
        self._react()
        self.keyrings.used.clear()
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused
        return found

    def _react(self) -> None:
        super()._react()
        with self.guard:
            try:
                self._take_orders()
            except OSError as error:
                self._refused = error

    def _take_orders(self) -> None:
        if text := self.tree.take(f'{BUS}/add{self.suffix}'):
            self.written.append(text)
            self._map(text)
        if text := self.tree.take(f'{BUS}/remove{self.suffix}'):
            self.written.append(text)
            self._unmap(*text.split())
        for each in self.rbd.values():
            if self.tree.take(f'{BUS}/devices/{each.number}/refresh'):
                self._require_answer(each.cluster)
                self.show(each)

    def _require_answer(self, cluster: Cluster | None) -> Cluster:
        if cluster is None:
            raise OSError(errno.ETIMEDOUT, 'Connection timed out')
        if cluster.hung:
            raise fake_host.Hung
        return cluster

    def _map(self, text: str) -> None:
        monitors, words, pool, name, snapshot = text.split()
        options = dict(word.partition('=')[::2] for word in words.split(','))
        wanted = set(monitors.split(','))
        found = [each for each in self.clusters if each.monitors & wanted]
        cluster = self._require_answer(found[0] if found else None)
        self._authenticate(cluster, options)
        if pool not in cluster.pools:
            raise OSError(errno.ENOENT, 'No such file or directory')
        image = cluster.images.get((pool, options.get('_pool_ns', ''), name))
        if image is None or (snapshot != '-' and snapshot not in image.snapshots):
            raise OSError(errno.ENOENT, 'No such file or directory')
        if not image.supported:
            raise OSError(errno.ENXIO, 'No such device or address')
        read_only = 'ro' in options or snapshot != '-'
        if image.locked and not read_only:
            raise OSError(errno.EROFS, 'Read-only file system')
        number = next(n for n in range(99) if n not in self.rbd)
        made = Map(
            *(number, cluster, pool, options.get('_pool_ns', ''), name, snapshot, image),
            *(text, read_only),
        )
        self.rbd[number] = made
        self.show(made)

    def _authenticate(self, cluster: Cluster, options: dict[str, str]) -> None:
        if 'key' not in options:
            if cluster.users:
                raise OSError(errno.EINVAL, 'Invalid argument')
            return
        given = (*self.keyrings.keys.values(), *self.keyrings.used)
        known = {name: value for kind, name, value in given if kind == 'ceph'}
        if options['key'] not in known:
            raise OSError(errno.EPERM, 'Operation not permitted')
        secret = cluster.users.get(options['name'], '')
        if base64.b64encode(known[options['key']]).decode() != secret:
            raise OSError(errno.EACCES, 'Permission denied')

    def show(self, made: Map) -> None:
        """The attributes of a map, with what the image is now."""
        tree, base = self.tree, f'{BUS}/devices/{made.number}'
        snapshot = made.image.snapshots.get(made.snapshot)
        for key, value in (
            ('pool', made.pool),
            ('pool_id', 1 + made.cluster.pools.index(made.pool)),
            ('pool_ns', made.namespace),
            ('name', made.name),
            ('image_id', made.image.number),
            ('current_snap', made.snapshot),
            ('snap_id', _NO_SNAPSHOT if snapshot is None else snapshot),
            ('cluster_fsid', made.cluster.fsid),
            ('size', made.image.size),
        ):
            tree.value(f'{base}/{key}', value)
        # Without a line's end of its own: it shows what was written.
        tree.file(f'{base}/config_info', made.told + '\n')
        tree.file(f'{base}/refresh')
        block = f'/sys/devices/rbd/{made.number}/block/rbd{made.number}'
        for name in ('holders', 'slaves'):
            tree.directory(f'{block}/{name}')
        tree.value(f'{block}/size', made.image.size // 512)
        tree.value(f'{block}/ro', int(made.read_only))
        tree.value(f'{block}/dev', f'252:{16 * made.number}')
        for place in ('/sys/class/block', '/sys/block'):
            tree.link(f'{place}/rbd{made.number}', block)
        tree.file(f'/dev/rbd{made.number}', bytes(4096))
        self.other_devices.add(f'rbd{made.number}')

    def _unmap(self, number: str, force: str = '') -> None:
        made = self.rbd.get(int(number))
        if made is None:
            raise OSError(errno.ENOENT, 'No such file or directory')
        if made.is_open and not force:
            raise OSError(errno.EBUSY, 'Device or resource busy')
        self._require_answer(made.cluster)
        self.forget(made)

    def forget(self, made: Map) -> None:
        """A map goes."""
        del self.rbd[made.number]
        name = f'rbd{made.number}'
        for path in (f'/sys/class/block/{name}', f'/sys/block/{name}', f'/dev/{name}'):
            self.tree.remove(path)
        self.tree.remove(f'/sys/devices/rbd/{made.number}')
        self.tree.remove(f'{BUS}/devices/{made.number}')

    def map_by_hand(self, cluster: Cluster, name: str, options: str = '', pool: str = 'rbd') -> Map:
        """As another program on the host does it, with a key of its own if the cluster has keys."""
        before, number = set(self.rbd), 0
        words = ('noshare', options)
        if cluster.users:
            number = self.keyrings.add_key('ceph', 'client.cinder', _data(cluster.users['cinder']))
            words = ('name=cinder,key=client.cinder', options)
        given = ','.join(filter(None, words))
        self._map(f'{sorted(cluster.monitors)[0]} {given} {pool} {name} -')
        if number:
            self.keyrings.drop_key(number)
        (new,) = set(self.rbd) - before
        return self.rbd[new]


def _data(secret: str) -> bytes:
    return base64.b64decode(secret)


def config_of(number: int) -> str:
    """What the kernel was told of a map."""
    return files.read(f'{BUS}/devices/{number}/config_info')
