# SPDX-License-Identifier: Apache-2.0
"""Answers as services have stored them, of os-brick 7 or of ours: each still means its volume.

os-brick 7.1.1 answers with ``/dev/sda`` or ``/dev/dm-0`` (iSCSI, NVMe), with links of udev (Fibre
Channel), and with links of its own for encrypted volumes. ``scsi_wwn`` is what udev calls
ID_SERIAL, what ``scsi_id`` prints, the end of a link's name, or an empty text where none was found
in time. nova keeps the path alone, among the connection properties; others keep the whole.
"""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof, rbd
from tests import breadth
from tests.unit.fakehost import array, ceph, fabric, nvme
from tests.unit.fakehost import host as fake_host
from tests.unit.initiator.connectors import test_nvmeof

LINK = '/dev/disk/by-id/os-brick'
BY_UUID = '/dev/disk/by-id/dm-uuid-mpath-'
ABSENT = 'absent'
WWIDS = [
    '{wwid}',
    ' {wwid} ',
    '',
    None,
    ABSENT,
    'SLIO-ORG_gold_{serial}',
    '1LIO-ORG_gold:{serial}',
    '0LIO-ORG_gold',
    '8naa.{naa}',
]
nvme_fabric = test_nvmeof.fabric


def kept(how: str, props: dict[str, Any], answer: dict[str, Any]) -> tuple[Any, Any]:
    """What a service passes to a detach: properties and ``device_info``."""
    stored = {key: value for key, value in answer.items() if value is not ABSENT}
    path = {'device_path': stored['path']} if 'path' in stored else {}
    if how == 'answer':  # cinder, glance_store, cinderlib
        return props, stored
    if how == 'properties':  # nova, with the map's WWID as older releases of it kept it
        return props | path | {'multipath_id': stored.get('multipath_id')}, None
    given = {**props, **path}
    return given, given  # What is passed twice


HOW = ('answer', 'properties', 'twice')
# They take turns; each of them has each spelling with --all.
FIRST = pytest.mark.parametrize('first', range(breadth.examples(1, len(HOW))))


class Iscsi:
    """A volume behind two portals."""

    host_class: type[fake_host.Host] = fake_host.Host

    def __init__(self, host: Any, unit: array.Unit) -> None:
        self.target = host.target('t1', portals=2)
        self.target.luns[1] = unit

    def props(self, **more: Any) -> dict[str, Any]:
        return {**self.target.properties(plural=True), **more}

    def connector(self, *, multipath: bool) -> Any:
        return iscsi.ISCSIConnector(None, use_multipath=multipath)


class FibreChannel:
    """A volume behind two ports."""

    host_class: type[fake_host.Host] = fabric.FabricHost

    def __init__(self, host: Any, unit: array.Unit) -> None:
        self.storage = host.storage(ports=2)
        host.adapter(self.storage)
        self.storage.luns[1] = unit

    def props(self, **more: Any) -> dict[str, Any]:
        return self.storage.properties(**more)

    def connector(self, *, multipath: bool) -> Any:
        return fibre_channel.FibreChannelConnector(None, use_multipath=multipath)


def paths(host: Any, info: dict[str, Any], unit: array.Unit) -> list[Any]:
    """Every path that an answer may have had for the device that is attached now."""
    node = host.node(info['path'])
    by_path = host.disk_of(info['path']).session.by_path(1)
    found = [f'/dev/{node}', *(f'/dev/disk/by-path/{name}' for name in by_path)]
    if node.startswith('dm-'):
        # A friendly name is the host's own, and another one after a reboot.
        found += [f'/dev/mapper/{unit.wwid}', f'{BY_UUID}{unit.wwid}', '/dev/mapper/mpatha']
    return [*found, *(path.encode() for path in found), '/dev/sdzz', '', None, ABSENT]


def texts(unit: array.Unit) -> list[Any]:
    """Every ``scsi_wwn`` that an answer may have."""
    words = {'wwid': unit.wwid, 'serial': unit.serial, 'naa': unit.naa.hex()}
    return [text.format(**words) if text else text for text in WWIDS]


@FIRST
@pytest.mark.parametrize('multipath', [False, True])
@pytest.mark.parametrize('kind', [Iscsi, FibreChannel])
@pytest.mark.parametrize('encrypted', [False, True])
def test_scsi(
    tmp_path: pathlib.Path, kind: Any, multipath: bool, first: int, encrypted: bool
) -> None:
    """Grown and detached with each path, each with one ``scsi_wwn`` after the other."""
    with kind.host_class(tmp_path) as host:
        unit = array.Unit('gold', 32)
        volume = kind(host, unit)
        brick = volume.connector(multipath=multipath)
        before = host.snapshot()
        info = brick.connect_volume(volume.props())
        several = paths(host, info, unit)
        wwids = texts(unit)
        for number in range(max(len(several), len(wwids)) + 1):
            path, wwid = several[number % len(several)], wwids[number % len(wwids)]
            if number:
                info = brick.connect_volume(volume.props())
            path = linked(host, info, path) if encrypted else path
            answer = {**info, 'path': path, 'scsi_wwn': wwid}
            how = HOW[(first + number) % len(HOW)]
            given, device_info = kept(how, volume.props(encrypted=encrypted), answer)
            unit.megabytes += 8
            assert brick.extend_volume(given) == unit.megabytes << 20, (path, wwid)
            brick.disconnect_volume(given, device_info)
            assert host.snapshot() == before, (path, wwid)


def linked(host: Any, info: dict[str, Any], path: Any) -> Any:
    """The link that os-brick 7 has made to an encrypted volume's device, named after its path."""
    if not path or path == ABSENT:
        return path
    is_text = isinstance(path, str)
    link = LINK + (path if is_text else path.decode()).replace('/', '+')
    if host.tree.at('/dev/' + host.node(info['path'])).exists() and '/sdzz' not in link:
        host.tree.link(link, f'/dev/{host.node(info["path"])}')
    return link if is_text else link.encode()


@FIRST
@pytest.mark.parametrize('encrypted', [False, True])
def test_nvme(nvme_fabric: nvme.Fabric, first: int, encrypted: bool) -> None:
    subsystem = nvme_fabric.subsystem('life', 2)
    volume = subsystem.namespaces[3] = nvme.Volume('gold', power=12)
    brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
    before = nvme_fabric.snapshot()
    spellings = (str, str.encode, lambda _: '', lambda _: None, lambda _: ABSENT)
    for number, spell in enumerate(spellings, first):
        props = subsystem.properties(3, encrypted=encrypted)
        info = brick.connect_volume(props)
        answer = {**info, 'path': spell(info['path'])}
        given, device_info = kept(HOW[number % len(HOW)], props, answer)
        volume.size += 8 << 20
        assert brick.extend_volume(given) == volume.size
        brick.disconnect_volume(given, device_info)
        assert nvme_fabric.snapshot() == before, answer


@pytest.fixture
def rbd_host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        yield found


@FIRST
@pytest.mark.parametrize('encrypted', [False, True])
def test_rbd(rbd_host: ceph.RbdHost, first: int, encrypted: bool) -> None:
    """7 answers with the link of Ceph's rule of udev, which has no namespace in it."""
    cluster = rbd_host.cluster()
    cluster.image('v1')
    local = rbd.RBDConnector(None, do_local_attach=True)
    before = rbd_host.snapshot()
    several = ('/dev/rbd0', '/dev/rbd/rbd/v1', b'/dev/rbd/rbd/v1', '/dev/rbd7', '', None, ABSENT)
    for number, path in enumerate(several, first):
        props = cluster.properties('rbd/v1', encrypted=encrypted)
        info = local.connect_volume(cluster.properties('rbd/v1'))
        spelled = linked(rbd_host, info, path) if encrypted else path
        given, device_info = kept(HOW[number % len(HOW)], props, {**info, 'path': spelled})
        image = cluster.images['rbd', '', 'v1']
        image.size += 8 << 20
        assert local.extend_volume(given) == image.size
        local.disconnect_volume(given, device_info)
        assert rbd_host.snapshot() == before, path
