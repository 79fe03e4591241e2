# SPDX-License-Identifier: Apache-2.0
"""Volumes of each protocol on the fake host, for what holds for the plans of all of them."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import itertools
import json
import pathlib
import re
from typing import Any

from os_brick.core import observe, process, wait
from os_brick.initiator.connectors import (
    fibre_channel,
    huawei,
    iscsi,
    lightos,
    local,
    nvmeof,
    rbd,
    remotefs,
    scaleio,
)
from os_brick.initiator.connectors import storpool as connectors_storpool
from tests.doubles import powerflex
from tests.unit import seams
from tests.unit.fakehost import array, ceph, discovery_client, fabric, nvme, scini, shares, storpool
from tests.unit.fakehost import host as fake_host

VOLUME_ID = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'
KEY = f'DHHC-1:00:{"s" * 48}:'
# Those of the properties.
PASSWORD = 'sesame-sesame'
SECRETS = (KEY, ceph.SECRET, PASSWORD)
# What is told of an operation that waits for others, and is not a step of its plan.
WAITS = ('lock', 'await turn')
# What is told with the next step, as one act does both.
_WITH_THE_NEXT = 'make node record'


@dataclasses.dataclass
class Stage:
    """A volume that can be attached.

    :ivar protocol: as ``driver_volume_type`` has it.
    :ivar contents: all that is on the host, for a comparison.
    :ivar root: the directory that stands for ``/``.
    :ivar more: what a connection_info has besides.
    :ivar planned: the operations whose plans stand on what the kernel numbers anew.
    :ivar stays: whether a detach leaves what the attach has made.
    :ivar tells: whether this host tells if it is attached.
    :ivar is_idle: whether nothing is done, so that there is nothing that could have changed.
    :ivar grow: the volume becomes larger at its storage; None where an extend is refused.
    :ivar side_by_side: the operations whose steps are done by several threads, in any order.
    """

    protocol: str
    brick: Any
    props: dict[str, Any]
    contents: Callable[[], object]
    root: pathlib.Path
    grow: Callable[[], object] | None = None
    side_by_side: tuple[str, ...] = ()
    info: dict[str, Any] | None = None
    more: dict[str, Any] = dataclasses.field(default_factory=dict)
    planned: tuple[str, ...] = ('extend', 'detach')
    stays: bool = False
    tells: bool = True
    is_idle: bool = False

    def order(self, operation: str, steps: list[str]) -> list[str]:
        """Steps in an order in which they can be compared."""
        return sorted(steps) if operation in self.side_by_side else steps

    def place(self, path: str) -> pathlib.Path:
        """Where a file of the host is."""
        return self.root / path.lstrip('/')

    def file(self, path: str, text: str) -> None:
        """Have the host have a file with this text."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_text(text)

    def do(self, operation: str) -> Any:
        """Attach, extend or detach."""
        if operation == 'attach':
            self.info = self.brick.connect_volume(self.props)
            return self.info
        if operation == 'extend':
            return self.brick.extend_volume(self.props)
        return self.brick.disconnect_volume(self.props, self.info)

    def plan(self, operation: str, **more: Any) -> dict[str, Any]:
        """The plan in plain values."""
        (found,) = self.brick.plan(operation, self.props, self.info, **more)
        plain: dict[str, Any] = found.as_dict()
        return plain


def steps_of(act: Callable[[], object]) -> list[str]:
    """What is told of an operation while it is done: the names of its steps as they end."""
    found: list[observe.Step] = []

    def hear(record: observe.Record) -> None:
        if isinstance(record, observe.Step) and record.name not in WAITS:
            found.append(record)

    stop = observe.observe(hear)
    try:
        act()
    finally:
        stop()
    return [each.name for each in found]


def verbs(plan: dict[str, Any]) -> list[str]:
    """The verbs of its steps."""
    found = [each['verb'] for each in plan['steps']]
    return [each for each in found if each != _WITH_THE_NEXT]


def steady(text: str) -> str:
    """A text without what differs between hosts: the kernel's numbers, directories of tests."""
    text = re.sub(r'("(?:id|number)": )("[0-9a-f]{8}"|[0-9]+)', r'\1"..."', text)
    return re.sub(r'/tmp/pytest-of-[^"/]*/(?:[^"/]+/){2}', '/', text)


def settled(document: dict[str, Any]) -> dict[str, Any]:
    """A plan in which the first controller is that of the first portal.

    The kernel numbers controllers as they come, and portals are connected side by side.
    """
    found: dict[str, Any] = json.loads(json.dumps(document))
    for step in (step for plan in found['plans'] for step in plan['steps']):
        controllers = step.get('controllers', ())
        portals = sorted((each['portal'] for each in controllers), key=json.dumps)
        for controller, portal in zip(controllers, portals, strict=True):
            controller['portal'] = portal
    return found


@contextlib.contextmanager
def of_iscsi(place: pathlib.Path) -> Iterator[Stage]:
    """A volume with two paths and a multipath map."""
    with fake_host.Host(place) as host:
        target = host.target('planned', portals=2)
        unit = target.luns[1] = array.Unit('gold')

        def grow() -> None:
            unit.megabytes *= 2

        brick = iscsi.ISCSIConnector(None, use_multipath=True)
        more = {'volume_id': VOLUME_ID, 'auth_username': 'one', 'auth_password': PASSWORD}
        props = {**target.properties(plural=True), 'auth_method': 'CHAP', **more}
        yield Stage('iscsi', brick, props, host.snapshot, host.tree.root, grow, ('attach',))


@contextlib.contextmanager
def of_fibre_channel(place: pathlib.Path) -> Iterator[Stage]:
    """The same behind two adapters."""
    with fabric.FabricHost(place) as host:
        storage = host.storage(ports=2)
        unit = storage.luns[1] = array.Unit('gold')
        for _ in range(2):
            host.adapter(storage)

        def grow() -> None:
            unit.megabytes *= 2

        brick = fibre_channel.FibreChannelConnector(None, use_multipath=True)
        props = {**storage.properties(), 'volume_id': VOLUME_ID}
        yield Stage('fibre_channel', brick, props, host.snapshot, host.tree.root, grow, ('attach',))


@contextlib.contextmanager
def of_nvme(place: pathlib.Path) -> Iterator[Stage]:
    """A namespace behind two portals."""
    with nvme.striking(place) as host:
        subsystem = host.subsystem('planned', portals=2)
        volume = subsystem.namespaces[1] = nvme.Volume('gold')

        def grow() -> None:
            volume.size *= 2

        brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
        more = {'volume_id': VOLUME_ID, 'dhchap_secret': KEY}
        # Or the second path may come late, on a busy machine.
        props = subsystem.properties(1, enforce_multipath=True, **more)
        yield Stage('nvmeof', brick, props, host.snapshot, host.root, grow, ('attach',))


@contextlib.contextmanager
def of_rbd(place: pathlib.Path) -> Iterator[Stage]:
    """An image that the kernel maps."""
    with ceph.RbdHost(place) as host:
        cluster = host.cluster()
        image = cluster.image('gold', number='1000')

        def grow() -> None:
            image.size *= 2

        props = cluster.properties('rbd/gold', volume_id=VOLUME_ID, encrypted=True)
        yield Stage('rbd', rbd.RBDConnector(None), props, host.snapshot, host.tree.root, grow)


@contextlib.contextmanager
def of_lightos(place: pathlib.Path) -> Iterator[Stage]:
    """A namespace that the vendor's client connects; its controllers stay."""
    with nvme.configured(place) as root, process.use(seams.Programs({})), nvme.Fabric(root) as host:
        host.file('/usr/sbin/nvme', '')
        subsystem = host.subsystem('cluster', 2)
        volume = subsystem.namespaces[3] = nvme.Volume('gold')
        with discovery_client.DiscoveryClient(host) as client:

            def grow() -> None:
                both = wait.Deadline.after(60)
                assert wait.holds(lambda: len(host.controllers) == 2, both)
                client.settle()
                volume.size *= 2

            def contents() -> object:
                client.settle()
                return set(client.files()), list(host.flushed)

            props = {**discovery_client.properties(subsystem, 3), 'volume_id': VOLUME_ID}
            # Its controllers, on which the plans stand, are the client's.
            brick = lightos.LightOSConnector(None)
            yield Stage('lightos', brick, props, contents, root, grow, planned=(), stays=True)


@contextlib.contextmanager
def of_nfs(place: pathlib.Path) -> Iterator[Stage]:
    """A file of a share, which stays mounted after a detach."""
    with shares.Shares(place) as host:
        host.server('nas', '/srv/a')
        options = '-o vers=4.2'
        props = {'export': 'nas:/srv/a', 'name': 'volume-1', 'volume_id': VOLUME_ID}
        brick = remotefs.RemoteFsConnector('nfs', None, nfs_mount_point_base='/mnt')

        def contents() -> object:
            return [(each.place, each.source) for each in host.mounts]

        yield Stage(
            'nfs',
            brick,
            {**props, 'options': options},
            contents,
            host.tree.root,
            more={'mount_point_base': '/mnt'},
            planned=(),
            stays=True,
        )


@contextlib.contextmanager
def of_local(place: pathlib.Path) -> Iterator[Stage]:
    """A device of this host: there is nothing to do."""
    with fake_host.Host(place) as host:
        host.tree.file('/dev/null')
        props = {'device_path': '/dev/null', 'volume_id': VOLUME_ID}
        yield Stage(
            'local',
            local.LocalConnector(None),
            props,
            host.snapshot,
            host.tree.root,
            planned=(),
            tells=False,
            is_idle=True,
        )


class Agent:
    """The program of Huawei's storage, which keeps what is attached."""

    PLACE = '/usr/local/bin/sds/sds_cli'

    def __init__(self) -> None:
        self.attached: set[str] = set()

    def run(self, argv: tuple[str, ...], **_keywords: Any) -> process.Result:
        """Do what it is told."""
        _program, _, verb, _, volume = argv
        code = 0 if verb == 'attach' or volume in self.attached else 50155007
        (self.attached.add if verb == 'attach' else lambda _volume: None)(volume)
        if verb == 'detach':
            self.attached.discard(volume)
        return process.Result(argv, 0, f'ret_code={code}\nret_desc=said\ndev_addr=/dev/vdx\n', '')


@contextlib.contextmanager
def of_huawei(place: pathlib.Path) -> Iterator[Stage]:
    """A volume that the storage's own program attaches."""
    with fake_host.Host(place) as host:
        agent = Agent()
        host.tree.file(agent.PLACE)
        host.tree.file('/dev/vdx')
        host.tree.directory('/sys/class/block/vdx')
        with process.use(agent):
            brick = huawei.HuaweiStorHyperConnector(None)
            props = {'volume_id': VOLUME_ID}
            yield Stage(
                'huaweisdshypervisor',
                brick,
                props,
                lambda: set(agent.attached),
                host.tree.root,
                planned=(),
                tells=False,
            )


@contextlib.contextmanager
def of_powerflex(place: pathlib.Path) -> Iterator[Stage]:
    """A volume that is mapped at a gateway."""
    with fake_host.Host(place) as host, powerflex.Gateway() as gateway:
        host.network.servers['127.0.0.1', gateway.port] = gateway.port
        assert gateway.certificate is not None
        host.tree.file(str(gateway.certificate.file), gateway.certificate.file.read_text())
        sdc = scini.Scini(host, gateway)
        volume = gateway.volume('gold')
        size = itertools.count(16, 8)
        yield Stage(
            'scaleio',
            scaleio.ScaleIOConnector(None),
            gateway.properties(volume, encrypted=True),
            lambda: (host.snapshot(), bool(volume.mapped)),
            host.tree.root,
            lambda: sdc.grow(volume, next(size)),
        )


@contextlib.contextmanager
def of_storpool(place: pathlib.Path) -> Iterator[Stage]:
    """A volume that a cluster attaches."""
    with fake_host.Host(place) as host, storpool.on(host) as cluster:
        volume = cluster.volume()

        def grow() -> None:
            cluster.state.grow(volume, 2 * volume.size)

        yield Stage(
            'storpool',
            connectors_storpool.StorPoolConnector(None),
            cluster.properties(encrypted=True),
            lambda: (host.snapshot(), cluster.attached()),
            host.tree.root,
            grow,
        )


STAGES: dict[str, Callable[[pathlib.Path], contextlib.AbstractContextManager[Stage]]] = {
    'iscsi': of_iscsi,
    'fc': of_fibre_channel,
    'nvme': of_nvme,
    'rbd': of_rbd,
    'lightos': of_lightos,
    'nfs': of_nfs,
    'huawei': of_huawei,
    'powerflex': of_powerflex,
    'storpool': of_storpool,
    'local': of_local,
}
# Those whose extend does something on the host.
EXTENDED = ('nvme', 'rbd', 'lightos')
