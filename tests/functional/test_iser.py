# SPDX-License-Identifier: Apache-2.0
"""iSER, over soft RoCE; and TCP through an interface record of its own."""

import pytest

from tests.functional import lab, support


def transports(iqn):
    """The transports of the sessions to a target, as iscsiadm names them."""
    lines = lab.shell.run('iscsiadm', '-m', 'session', check=False).splitlines()
    return {line.split(':')[0] for line in lines if f' {iqn} ' in f'{line} '}


@pytest.mark.parametrize('how', ['single', 'static', 'discovered'])
def test_iser(shelf, how):
    """The iSER transport: attach, I/O, grow, detach."""
    lab.rdma.up()
    volume = support.stamped(shelf, 'iser')
    target = shelf.target('iser', [])
    group = target.groups[0]
    portal = lab.net.portal(lab.rdma.ADDRESS)
    group.iser(portal)
    group.portals = (portal,)
    target.map(1, volume)
    connector = lab.bricks.ours('ISER', multipath=how != 'single')
    props = target.properties(1, plural=how == 'static')
    info = connector.connect_volume(props)
    assert transports(target.iqn) == {'iser'}
    support.assert_is(info['path'], volume)
    bigger = volume.grow(48)
    assert connector.extend_volume(props) == bigger
    assert connector.get_volume_paths(props)
    connector.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 0


@pytest.fixture
def interface():
    """An interface record of open-iscsi for plain TCP."""
    name = 'labif'
    lab.shell.run('iscsiadm', '-m', 'iface', '-I', name, '--op', 'new')
    update = ('--op', 'update', '-n', 'iface.transport_name', '-v', 'tcp')
    lab.shell.run('iscsiadm', '-m', 'iface', '-I', name, *update)
    yield name
    lab.shell.run('iscsiadm', '-m', 'iface', '-I', name, '--op', 'delete')


@pytest.mark.parametrize('multipath', [False, True])
def test_interface_record(shelf, interface, multipath):
    """Offload transports go through an interface record (`transport` and iface handling); one
    for plain TCP stands in for cards that we do not have."""
    volume = support.stamped(shelf, 'iface')
    target = shelf.target('iface', 1)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath, transport=interface)
    assert connector.transport == interface
    props = target.properties(1, plural=True)
    info = connector.connect_volume(props)
    shown = lab.shell.run('iscsiadm', '-m', 'session', '-P', '1')
    assert f'Iface Name: {interface}' in shown
    support.assert_is(info['path'], volume)
    bigger = volume.grow(48)
    assert connector.extend_volume(props) == bigger
    connector.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 0


def test_unknown_interface(shelf):
    """An interface that there is not: the default is used, as ever."""
    connector = lab.bricks.ours(transport='nosuchiface')
    assert connector.transport == 'default'
