# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel on a real fabric: attach, use, grow, detach."""

import os
import re

import pytest

from os_brick import exception
from tests.functional import fc_support, lab, support


def whole_life(connector, volume, props, count, multipath):
    """Attach, read and write, grow, detach; the fixture then checks that nothing is left."""
    before = support.disks()
    support.live(connector, volume, props, count, multipath)
    # At once, not a moment later: the names may be given to other disks from now on.
    assert support.disks() == before
    assert volume.wwid not in lab.daemons.ask('show paths raw format "%d %w"')


@pytest.mark.parametrize('policy', ['yes', 'no', 'strict'])
def test_whole_life_multipath(shelf, fabric, fc, multipathd, policy):
    """Two initiator ports by two target ports: four paths; all disks grow, then the map. Whatever
    multipath.conf says of find_multipaths."""
    multipathd(find_multipaths=policy)
    volume = fc_support.served(shelf, fabric, f'life{policy}')
    whole_life(fc, volume, fabric.properties(1), 4, multipath=True)


def test_whole_life_single_path(shelf, fabric, fc_single, multipathd):
    """One disk is returned, and there is no other."""
    multipathd(find_multipaths='strict')
    volume = fc_support.served(shelf, fabric, 'one')
    whole_life(fc_single, volume, fabric.properties(1), 1, multipath=False)


@pytest.mark.parametrize('multipath', [False, True])
def test_only_the_lun_asked_for(shelf, fabric, multipath, clean_host):
    """Another LUN of the same ports does not appear, and one that is attached stays untouched."""
    volume = fc_support.served(shelf, fabric, 'wanted', 1)
    other = fc_support.served(shelf, fabric, 'other', 2)
    fc_support.served(shelf, fabric, 'third', 3)
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    with lab.fc.Scans() as scans:
        neighbour = connector.connect_volume(fabric.properties(2))
        info = connector.connect_volume(fabric.properties(1))
    assert {scan.what.split()[2] for scan in scans.seen} == {'1', '2'}
    assert not [scan for scan in scans.seen if '-' in scan.what]
    count = len(support.disks_of(info['path'])) + len(support.disks_of(neighbour['path']))
    assert count <= 8
    assert len(support.disks()) <= len(clean_host['disk']) + 8
    seen = {re.split(r'\s', line)[1].rpartition(':')[2] for line in lab.oracle.disks()}
    assert '3' not in seen
    support.assert_is(info['path'], volume)
    connector.disconnect_volume(fabric.properties(1), info)
    support.assert_is(neighbour['path'], other)
    connector.disconnect_volume(fabric.properties(2), neighbour)


def test_the_map_of_initiators(shelf, fabric, fc):
    """Each adapter uses the ports that the map gives it, and no others."""
    volume = fc_support.served(shelf, fabric, 'zoned')
    first, second = fabric.initiators
    zones = {first.wwpn: [fabric.targets[0].wwpn], second.wwpn: [fabric.targets[1].wwpn.upper()]}
    props = fabric.properties(1, initiator_target_map=zones)
    with lab.fc.Scans() as scans:
        info = fc.connect_volume(props)
    support.wait_disks(info['path'], 2)
    pairs = {(fc_support.host_of(d), fc_support.port_of(d)) for d in support.disks_of(info['path'])}
    assert pairs == {
        (first.host, fabric.targets[0].wwpn),
        (second.host, fabric.targets[1].wwpn),
    }
    addresses = {fc_support.address_of(disk) for disk in support.disks_of(info['path'])}
    assert {scan.address for scan in scans.seen} == addresses
    support.assert_is(info['path'], volume)
    fc.disconnect_volume(props, info)


@pytest.mark.parametrize('multipath', [False, True])
@pytest.mark.parametrize('form', ['lists', 'map of LUNs'])
def test_another_lun_behind_each_port(shelf, fabric, form, multipath):
    """A volume is LUN 1 of one port and LUN 5 of the other. An attach that crosses the two gets
    disks of another volume.
    """
    volume, foreign = support.stamped(shelf, 'split'), support.stamped(shelf, 'foreign')
    one, two = fabric.targets
    for target, lun in ((one, 1), (two, 5)):
        target.map(lun, volume)
        target.map(6 - lun, foreign)
    first, second = fabric.initiators
    if form == 'lists':
        more, count = {'target_wwns': [one.wwpn, two.wwpn], 'target_luns': [1, 5]}, 4
    else:
        pairs = {first.wwpn: [(one.wwpn, 1)], second.wwpn.upper(): [[two.wwpn, '5']]}
        more = {'initiator_target_map': None, 'initiator_target_lun_map': pairs}
        more |= {'target_wwn': None, 'targets': [(one.wwpn, 1), (two.wwpn, 5)]}
        count = 2
    props = fabric.properties(1, **more)
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    with lab.fc.Scans() as scans:
        info = connector.connect_volume(props)
        if multipath:
            support.wait_disks(info['path'], count)
    assert info['scsi_wwn'] == volume.wwid
    support.assert_is(info['path'], volume)
    found = {(fc_support.port_of(disk), fc_support.lun_of(disk)) for disk in support.disks()}
    assert found <= {(one.wwpn, '1'), (two.wwpn, '5')}
    assert len(scans.seen) == (count if multipath else 1)
    bigger = volume.grow(48)
    assert connector.extend_volume(props) == bigger
    connector.disconnect_volume(props, info)


@pytest.mark.parametrize('form', ['singular', 'plural', 'targets', 'no map'])
def test_forms_of_properties(shelf, fabric, fc, form):
    """One port as a text; lists of ports and LUNs; pairs; and no map of initiators."""
    volume = fc_support.served(shelf, fabric, 'form')
    names = [target.wwpn for target in fabric.targets]
    forms = {
        'singular': ({'target_wwn': f'0x{names[0]}'.upper().replace('X', 'x')}, 2),
        'plural': ({'target_wwns': names, 'target_luns': ['1', 1]}, 4),
        'targets': ({'target_wwn': None, 'targets': [[name, 1] for name in names]}, 4),
        'no map': ({'initiator_target_map': None}, 4),
    }
    more, count = forms[form]
    props = fabric.properties(1, **more)
    info = fc.connect_volume(props)
    support.wait_disks(info['path'], count)
    support.assert_is(info['path'], volume)
    fc.disconnect_volume(props, info)


@pytest.mark.parametrize('multipath', [False, True])
def test_addressing(shelf, fabric, multipath):
    """LUN 300 under SAM2 is the kernel's LUN 16684, for attach, paths, grow and detach."""
    volume = support.stamped(shelf, 'flat')
    fabric.map(16684, volume)
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(300, addressing_mode='SAM2')
    info = connector.connect_volume(props)
    support.assert_is(info['path'], volume)
    assert all(p.endswith('-lun-0x412c000000000000') for p in connector.get_volume_paths(props))
    bigger = volume.grow(48)
    assert connector.extend_volume(props) == bigger
    connector.disconnect_volume(props, info)


def test_volume_paths(shelf, fabric, fc):
    """udev's links, on raw properties; none before the attach and none after it."""
    fc_support.served(shelf, fabric, 'paths')
    props = fabric.properties(1)
    assert fc.get_volume_paths(props) == []
    info = fc.connect_volume(props)
    support.wait_disks(info['path'], 4)
    lab.shell.settle()
    found = fc.get_volume_paths(props)
    assert len(found) == 4
    shape = re.compile(r'/dev/disk/by-path/pci-0000:00:[0-9a-f.]+-fc-0x[0-9a-f]{16}-lun-1')
    assert all(shape.fullmatch(path) for path in found)
    assert {support.node(path) for path in found} == set(support.disks_of(info['path']))
    fc.disconnect_volume(props, info)
    assert fc.get_volume_paths(props) == []


@pytest.mark.parametrize('multipath', [False, True])
def test_encrypted_link(shelf, fabric, multipath):
    """The path is a link of ours, which leads to the volume and goes with it."""
    volume = fc_support.served(shelf, fabric, 'secret')
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(1, encrypted=True)
    info = connector.connect_volume(props)
    assert info['path'].startswith('/dev/disk/by-id/os-brick+dev+')
    support.assert_is(info['path'], volume)
    connector.disconnect_volume(props, info)
    assert not os.path.lexists(info['path'])


@pytest.mark.parametrize(
    ('multipath', 'attach', 'detach', 'extend'), [(False, 0, 0, 0), (True, 1, 1, 1)]
)
def test_programs(shelf, fabric, multipath, attach, detach, extend):
    """How many programs each operation may start."""
    volume = fc_support.served(shelf, fabric, 'cost')
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(1)
    connector.disconnect_volume(props, connector.connect_volume(props))
    with lab.programs.Recorder() as recorder:
        info = connector.connect_volume(props)
    assert len(recorder.ours()) <= attach, [*map(str, recorder.ours())]
    volume.grow(48)
    with lab.programs.Recorder() as recorder:
        connector.extend_volume(props)
    assert len(recorder.ours()) <= extend, [*map(str, recorder.ours())]
    with lab.programs.Recorder() as recorder:
        connector.disconnect_volume(props, info)
    assert len(recorder.ours()) <= detach, [*map(str, recorder.ours())]


def test_names_of_ports_stay_out_of_commands(shelf, fabric, fc):
    """Nothing that the caller writes is on a command line, and a port has to be a port's name."""
    fc_support.served(shelf, fabric, 'words')
    props = fabric.properties(1)
    with lab.programs.watch_cmdlines(*(target.wwpn for target in fabric.targets)) as leaks:
        fc.disconnect_volume(props, fc.connect_volume(props))
    assert leaks == []
    with lab.fc.Scans() as scans, pytest.raises(exception.InvalidParameterValue):
        fc.connect_volume(fabric.properties(1, target_wwn=['$(touch /run/lab-fc-shell)']))
    assert not scans.seen
    assert not os.path.exists('/run/lab-fc-shell')


def test_connector_properties(fabric, tmp_path):
    """The names of the ports that are online: no more, and no key where there is none."""
    connector = lab.bricks.ours('FIBRE_CHANNEL')
    first, second = fabric.initiators

    def found():
        return connector.get_connector_properties(None, multipath=True, enforce_multipath=False)

    everything = found()
    assert set(everything['wwpns']) >= {first.wwpn, second.wwpn}
    assert len(everything['wwpns']) == len(everything['wwnns'])

    types = tmp_path / 'types'
    types.write_text('0x00 0x00 0x00 0x00 0x00 0x00 0x01' + ' 0x00' * 25 + '\n')
    nvme_only = fc_support.behind_mounts(
        found, '--bind', str(types), f'/sys/class/fc_host/{first.host}/supported_fc4s'
    )
    assert set(everything['wwpns']) - set(nvme_only['wwpns']) == {first.wwpn}

    first.cut()
    fc_support.wait_away(first)
    assert set(everything['wwpns']) - set(found()['wwpns']) == {first.wwpn}
    for port in fabric.ports:
        port.cut()
        fc_support.wait_away(port)
    assert found() == {}


def test_host_without_adapters(fabric, fc):
    """No names and no error when it is asked; a clear error when a volume is to be attached."""
    no_adapters = ('-t', 'tmpfs', 'none', '/sys/class/fc_host')

    def found():
        return fc.get_connector_properties(None, multipath=True, enforce_multipath=False)

    def attach():
        with pytest.raises(exception.NoFibreChannelHostsFound) as caught:
            fc.connect_volume(fabric.properties(1))
        return caught.value

    assert fc_support.behind_mounts(found, *no_adapters) == {}
    assert 'Fibre Channel' in str(fc_support.behind_mounts(attach, *no_adapters))


def test_detach_by_the_name_of_the_map(shelf, fabric, fc, multipathd):
    """A caller has kept the alias of ``user_friendly_names`` for the WWID."""
    multipathd(user_friendly_names='yes')
    fc_support.served(shelf, fabric, 'alias')
    props = fabric.properties(1)
    info = fc.connect_volume(props)
    alias = lab.shell.read(f'/sys/block/{support.node(info["path"])}/dm/name')
    assert alias.startswith('mpath')
    fc.disconnect_volume(props, {'type': 'block', 'path': info['path'], 'multipath_id': alias})


def test_a_lun_beyond_the_driver(fabric, fc, options):
    """The kernel refuses the scan: the error says so and names the LUN, and comes at once."""
    options(scan_timeout=20)
    with support.Stopwatch() as watch, pytest.raises(exception.BrickException) as caught:
        fc.connect_volume(fabric.properties(0xFFFFFF))
    assert 'refuses to scan' in str(caught.value)
    assert str(0xFFFFFF) in str(caught.value)
    assert watch.seconds < 10
