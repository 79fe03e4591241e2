# SPDX-License-Identifier: Apache-2.0
"""Controllers and namespaces as sysfs shows them: a table of what kernels write there."""

from collections.abc import Iterator
import errno
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import nvme
from os_brick.model import fabrics
from tests.unit.fakehost import nvme as fake_nvme
from tests.unit.fakehost import tree as fake_tree

CLASS = '/sys/class/nvme-fabrics/ctl'
NQN = 'nqn.2026-11.org.lab:one'
UUID, NGUID = '11111111-2222-4333-8444-555555555555', '99999999-2222-4333-8444-555555555555'


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[fake_tree.Tree]:
    with files.use(str(tmp_path)):
        yield fake_tree.Tree(tmp_path)


def controller(
    tree: fake_tree.Tree,
    name: str,
    address: str,
    transport: str = 'tcp',
    nqn: str = NQN,
    **more: str,
) -> None:
    values = {'subsysnqn': nqn, 'address': address, 'transport': transport, 'cntlid': '7', **more}
    for key, value in values.items():
        tree.value(f'{CLASS}/{name}/{key}', value)


@pytest.mark.parametrize(
    ('address', 'transport', 'portal'),
    [
        ('traddr=10.0.0.1,trsvcid=4420', 'tcp', ('tcp', '10.0.0.1', '4420')),
        ('traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.9', 'tcp', ('tcp', '10.0.0.1', '4420')),
        (
            'traddr=10.0.0.1, trsvcid=4420, host_traddr=10.0.0.9,host_iface=eth0',
            'tcp',
            ('tcp', '10.0.0.1', '4420', '10.0.0.9', 'eth0'),
        ),
        ('traddr=FE80:0:0:0:0:0:0:1,trsvcid=4420', 'rdma', ('rdma', 'fe80::1', '4420')),
        ('traddr=10.0.0.1,trsvcid=4420,word,=,a=b=c', 'tcp', ('tcp', '10.0.0.1', '4420')),
        (
            'traddr=nn-0x10000090fa942779:pn-0x20000090fa942779',
            'fc',
            ('fc', 'nn-0x10000090fa942779:pn-0x20000090fa942779'),
        ),
        ('', 'tcp', None),
        ('(efault)', 'fc', None),
        ('traddr=10.0.0.1,trsvcid=4420', 'pcie', None),
        ('traddr=10.0.0.1,trsvcid=70000', 'tcp', None),
    ],
)
def test_where_a_controller_is(
    tree: fake_tree.Tree, address: str, transport: str, portal: tuple[str, ...] | None
) -> None:
    controller(tree, 'nvme0', address, transport)
    found = [each.portal for each in nvme.controllers(NQN)]
    assert found == ([fabrics.NvmePortal(*portal)] if portal else [])


def test_which_controllers(tree: fake_tree.Tree) -> None:
    """By subsystem, portal and this host's name; the files beside them are none."""
    here = 'traddr=10.0.0.1,trsvcid=4420'
    controller(tree, 'nvme0', here, hostnqn='me', hostid='1')
    controller(tree, 'nvme1', here, hostnqn='other', hostid='2')
    controller(tree, 'nvme2', here, hostnqn='(null)')
    controller(tree, 'nvme3', 'traddr=10.0.0.2,trsvcid=4420', hostnqn='me')
    controller(tree, 'nvme4', here, nqn=f'{NQN}b', hostnqn='me')
    controller(tree, 'power', here)
    portal = fabrics.NvmePortal('tcp', '10.0.0.1', '4420')

    def names(host: str | None) -> list[str]:
        return [each.name for each in nvme.controllers_at(NQN, [portal], host)]

    assert len(nvme.controllers()) == 5
    assert names('me') == ['nvme0', 'nvme2'], 'an old kernel does not tell the name'
    assert names(None) == ['nvme0', 'nvme1', 'nvme2']
    own = fabrics.NvmePortal('tcp', '10.0.0.1', '4420', '10.0.0.9')
    assert nvme.controllers_at(NQN, [own], None) == []


def test_ids_of_the_names_in_use(tree: fake_tree.Tree) -> None:
    here = 'traddr=10.0.0.1,trsvcid=4420'
    for name, host, host_id in (('nvme0', 'other', '2'), ('nvme1', 'me', '1'), ('nvme2', 'x', '')):
        controller(tree, name, here, hostnqn=host, hostid=host_id)
    assert nvme.host_ids('me')['me'] == '1'
    assert nvme.host_ids('nobody') == {'other': '2', 'me': '1'}


def namespace(tree: fake_tree.Tree, place: str, **values: str) -> None:
    for key, value in {'nsid': '1', **values}.items():
        tree.value(f'{place}/{key}', value)


@pytest.mark.parametrize(
    ('shown', 'identity'),
    [
        ({'uuid': UUID, 'nguid': NGUID}, fabrics.NamespaceIdentity(UUID, NGUID, nsid=1)),
        ({'uuid': NGUID, 'nguid': NGUID}, fabrics.NamespaceIdentity(None, NGUID, nsid=1)),
        ({'uuid': UUID}, fabrics.NamespaceIdentity(UUID, nsid=1)),
        (
            {'eui': '00 25 38 00 00 00 00 01'},
            fabrics.NamespaceIdentity(eui64='0025380000000001', nsid=1),
        ),
        ({'nguid': '0' * 32, 'eui': '0' * 16}, fabrics.NamespaceIdentity(nsid=1)),
        ({'uuid': 'nonsense'}, fabrics.NamespaceIdentity(nsid=1)),
        ({'nsid': '4294967294'}, fabrics.NamespaceIdentity(nsid=4294967294)),
        ({'nsid': ''}, None),
    ],
)
def test_who_the_kernel_takes_a_namespace_for(
    tree: fake_tree.Tree, shown: dict[str, str], identity: fabrics.NamespaceIdentity | None
) -> None:
    namespace(tree, f'{CLASS}/nvme0/nvme0c0n1', **shown)
    assert [each.identity for each in nvme.paths('nvme0')] == ([identity] if identity else [])


def test_paths_of_a_head_are_those_of_its_subsystem(tree: fake_tree.Tree) -> None:
    """Controllers and subsystems are numbered apart: nvme0n1 need not be behind nvme0."""
    for subsystem, name in ((0, 'nvme3'), (0, 'nvme5'), (1, 'nvme0')):
        tree.directory(f'/sys/class/nvme-subsystem/nvme-subsys{subsystem}/{name}')
        number = name.removeprefix('nvme')
        namespace(tree, f'{CLASS}/{name}/nvme{subsystem}c{number}n1')
        namespace(tree, f'{CLASS}/{name}/nvme{subsystem}c{number}n2', nsid='2')
    assert [each.name for each in nvme.paths_of('nvme0n1')] == ['nvme0c3n1', 'nvme0c5n1']
    assert [each.name for each in nvme.paths_of('nvme1n2')] == ['nvme1c0n2']
    assert nvme.paths_of('nvme7n1') == []
    assert nvme.paths_of('sda') == []


def test_paths_of_a_device_without_native_multipath(tree: fake_tree.Tree) -> None:
    """Its controller has its number; the subsystem need not."""
    tree.directory('/sys/class/nvme-subsystem/nvme-subsys0/nvme0')
    tree.directory('/sys/class/nvme-subsystem/nvme-subsys0/nvme4')
    for name in ('nvme0', 'nvme4'):
        namespace(tree, f'{CLASS}/{name}/{name}n1')
    assert [each.controller for each in nvme.paths_of('nvme4n1')] == ['nvme4']
    assert [each.controller for each in nvme.paths_of('nvme0n1')] == ['nvme0']


@pytest.mark.parametrize(
    ('state', 'ana', 'why'),
    [
        ('live', 'optimized', None),
        ('live', 'non-optimized', None),
        ('live', '', None),
        ('live', 'inaccessible', 'path nvme0c0n1 is inaccessible'),
        ('connecting', 'optimized', 'controller nvme0 is connecting'),
        ('', '', 'controller nvme0 is gone'),
    ],
)
def test_what_takes_io(tree: fake_tree.Tree, state: str, ana: str, why: str | None) -> None:
    if state:
        tree.value(f'{CLASS}/nvme0/state', state)
    namespace(tree, f'{CLASS}/nvme0/nvme0c0n1', **({'ana_state': ana} if ana else {}))
    path = fabrics.Path('nvme0c0n1', 'nvme0', fabrics.NamespaceIdentity(nsid=1))
    assert nvme.why_unusable(path) == why


def test_every_namespace_local_ones_too(tree: fake_tree.Tree) -> None:
    for name, nqn in (('nvme0n1', NQN), ('nvme1n1', '')):
        namespace(tree, f'/sys/class/block/{name}', uuid=UUID)
        tree.value(f'/sys/class/block/{name}/device/subsysnqn', nqn)
    for name in ('nvme0n1p1', 'nvme0c0n1', 'sda'):
        tree.directory(f'/sys/class/block/{name}')
    identity = fabrics.NamespaceIdentity(UUID, nsid=1)
    assert nvme.namespaces() == [('nvme0n1', NQN, identity), ('nvme1n1', '', identity)]


def test_what_a_controller_reports_now(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    volume = subsystem.namespaces[1] = fake_nvme.Volume('gold', size=1 << 30, power=12)
    name = fabric.connect_by_hand(subsystem)
    (path,) = nvme.paths(name)
    report = nvme.report(path)
    assert (report.size_bytes, report.block_bytes) == (1 << 30, 4096)
    assert (report.identity.uuid, report.identity.nguid) == (volume.uuid, volume.nguid)
    subsystem.namespaces[1] = fake_nvme.Volume('silver')
    assert not path.identity.matches(nvme.report(path).identity), 'the kernel does not know yet'
    del subsystem.namespaces[1]
    with pytest.raises(OSError, match='Identify of namespace 1') as caught:
        nvme.report(path)
    assert caught.value.errno == errno.ENXIO


def test_a_name_that_is_given_again(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    name = fabric.connect_by_hand(subsystem)
    (first,) = nvme.controllers(subsystem.nqn)
    assert nvme.is_there(first)
    fabric.lose(name)
    assert not nvme.is_there(first)
    assert fabric.connect_by_hand(subsystem) == name
    assert not nvme.is_there(first)
    (second,) = nvme.controllers(subsystem.nqn)
    assert nvme.is_there(second)
