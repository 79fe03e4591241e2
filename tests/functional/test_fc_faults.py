# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel: cables are pulled, ports and LUNs are not there."""

import threading

import pytest

from os_brick import exception
from tests import breadth
from tests.functional import fc_support, lab, support

EITHER = pytest.mark.parametrize('multipath', [False, True])
# Grace on top of a limit: under emulation.
MARGIN = 5


def _heal(fabric):
    for port in fabric.initiators:
        port.heal()
    fabric.wait()


def _attached(shelf, fabric, fc, name):
    """A new volume, attached through its four paths, with what it was attached by and as."""
    volume = fc_support.served(shelf, fabric, name)
    props = fabric.properties(1)
    info = fc.connect_volume(props)
    support.wait_disks(info['path'], 4)
    return volume, props, info


def _detach_fails(connector, props, info, force):
    """Whether a detach ends with an error; it ends within an operation_timeout of 40 s."""
    failed = False
    with support.Stopwatch() as watch:
        try:
            connector.disconnect_volume(props, info, force=force, ignore_errors=force)
        except support.FAILURES:
            failed = True
    assert watch.seconds < 40 + MARGIN
    return failed


@EITHER
def test_port_that_does_not_exist(fabric, options, multipath):
    """A clear error that names the port and the LUN, within the scan time-out."""
    options(scan_timeout=4)
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(7, target_wwn=['500a0980deadbeef'], initiator_target_map=None)
    with (
        support.Stopwatch() as watch,
        lab.fc.Scans() as scans,
        pytest.raises(exception.NoFibreChannelVolumeDeviceFound) as caught,
    ):
        connector.connect_volume(props)
    assert watch.seconds < 4 + MARGIN
    # These adapters tell what they see: nothing is looked for on the off-chance. (The array's
    # ports, which are adapters of this machine as well, see no target.)
    assert {scan.host for scan in scans.seen}.isdisjoint(port.host for port in fabric.initiators)
    for word in ('500a0980deadbeef', 'LUN 7'):
        assert word in str(caught.value)


@EITHER
def test_lun_that_does_not_exist(shelf, fabric, options, multipath):
    """The same for a LUN behind ports that are there; another LUN of theirs does not appear."""
    options(scan_timeout=4)
    fc_support.served(shelf, fabric, 'bystander', 1)
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    with (
        support.Stopwatch() as watch,
        lab.fc.Scans() as scans,
        pytest.raises(exception.NoFibreChannelVolumeDeviceFound) as caught,
    ):
        connector.connect_volume(fabric.properties(9))
    assert watch.seconds < 4 + MARGIN
    assert {scan.what.split()[2] for scan in scans.seen} == {'9'}
    assert {scan.host for scan in scans.seen} == {port.host for port in fabric.initiators}
    for word in ('LUN 9', *(target.wwpn for target in fabric.targets)):
        assert word in str(caught.value)


def test_cable_cut_before_the_attach(shelf, fabric, fc):
    """One initiator is down: the other's paths are returned soon; healed, all four are there."""
    volume = fc_support.served(shelf, fabric, 'half')
    props = fabric.properties(1)
    fabric.initiators[1].cut()
    fc_support.wait_away(fabric.initiators[1])
    with support.Stopwatch() as watch, lab.fc.Scans() as scans:
        info = fc.connect_volume(props)
    assert watch.seconds < 10
    assert {scan.host for scan in scans.seen} == {fabric.initiators[0].host}
    support.wait_disks(info['path'], 2)
    support.assert_is(info['path'], volume)
    fabric.initiators[1].heal()
    lab.shell.until(lambda: len(support.disks_of(info['path'])) == 4, 60, 'four paths', 0.5)
    fc_support.wait_active(volume, 4)
    fc.disconnect_volume(props, info)


def test_cable_cut_during_the_attach(shelf, fabric, fc):
    """Whenever it happens: the volume is returned with the paths that live, or nothing is left."""
    volume = fc_support.served(shelf, fabric, 'during')
    props = fabric.properties(1)
    for delay in (0.2, 0.05, 0.5) if breadth.EVERYTHING else (0.2,):
        timer = threading.Timer(delay, fabric.initiators[1].cut)
        timer.start()
        info = fc.connect_volume(props)
        timer.join()
        support.assert_is(info['path'], volume)
        fabric.initiators[1].heal()
        fabric.wait()
        fc.disconnect_volume(props, info)


def test_cable_cut_during_io(shelf, fabric, fc, multipathd):
    """I/O goes on through the other initiator; healed, the paths come back into the map."""
    multipathd(no_path_retry='queue')
    volume, props, info = _attached(shelf, fabric, fc, 'io')
    fabric.initiators[0].cut()

    def noticed():
        support.assert_is(info['path'], volume)
        return list(lab.daemons.map_paths(volume.wwid).values()).count('failed') == 2

    lab.shell.until(noticed, 30, 'multipathd sees two paths fail', 0.2)
    support.assert_is(info['path'], volume)
    fabric.initiators[0].heal()
    fc_support.wait_active(volume, 4)
    support.assert_is(info['path'], volume)
    fc.disconnect_volume(props, info)


def test_grow_with_a_cable_cut(shelf, fabric, fc):
    """The live paths and the map grow; the dead ones come back with the new size."""
    volume, props, info = _attached(shelf, fabric, fc, 'grow')
    fabric.initiators[0].cut()
    fc_support.wait_away(fabric.initiators[0])
    bigger = volume.grow(48)
    assert fc.extend_volume(props) == bigger
    assert support.size(info['path']) == bigger
    fabric.initiators[0].heal()
    lab.shell.until(lambda: len(support.disks_of(info['path'])) == 4, 60, 'four paths', 0.5)
    assert {support.size(disk) for disk in support.disks_of(info['path'])} == {bigger}
    fc.disconnect_volume(props, info)


def test_cable_cut_before_the_detach(shelf, fabric, fc):
    """One initiator is down: what was written is safe, and all is gone but its disks' ghosts."""
    volume, props, info = _attached(shelf, fabric, fc, 'gone')
    support.assert_is(info['path'], volume)
    fabric.initiators[0].cut()
    fc_support.wait_away(fabric.initiators[0])
    with support.Stopwatch() as watch:
        fc.disconnect_volume(props, info)
    assert watch.seconds < 60


@pytest.mark.parametrize('force', [False, True] if breadth.EVERYTHING else [False])
@EITHER
def test_every_cable_cut_before_the_detach(shelf, fabric, multipathd, options, multipath, force):
    """Forced, all is gone, even where the map queues. Otherwise there may be an error, and a
    detach after the cables are healed works."""
    multipathd(no_path_retry='queue', find_multipaths='strict')
    options(operation_timeout=40)
    fc_support.served(shelf, fabric, 'dead')
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(1)
    info = connector.connect_volume(props)
    for port in fabric.initiators:
        port.cut()
        fc_support.wait_away(port)
    failed = _detach_fails(connector, props, info, force)
    assert not (force and failed)
    if failed:
        _heal(fabric)
        connector.disconnect_volume(props, info)


def test_cable_cut_during_the_detach(shelf, fabric, fc, options, clean_host):
    """Whenever it happens: all is gone. With every cable cut there may be an error unless forced,
    and then a detach after the cables are healed works."""
    options(operation_timeout=40)
    volume = support.stamped(shelf, 'leaving')
    props = fabric.properties(1)
    one, both = fabric.initiators[1:], fabric.initiators
    cases = [(0.2, both, False), (0.1, both, True), (0.05, one, False)]
    for delay, cut, force in cases if breadth.EVERYTHING else cases[:2]:
        fabric.map(1, volume)
        info = fc.connect_volume(props)
        support.wait_disks(info['path'], 4)
        support.assert_is(info['path'], volume)
        timers = [threading.Timer(delay, port.cut) for port in cut]
        for timer in timers:
            timer.start()
        failed = _detach_fails(fc, props, info, force)
        for timer in timers:
            timer.join()
        assert not failed or (cut is both and not force)
        if failed:
            _heal(fabric)
            fc.disconnect_volume(props, info)
        lab.oracle.assert_same(clean_host)
        fabric.reset()


def test_target_port_away_and_back(shelf, fabric, fc, multipathd):
    """The array's port goes down and comes back: its two paths fail and return."""
    # The kernel may ask the dead path for the states of all (ALUA), and then all fail once.
    multipathd(no_path_retry='queue')
    volume, props, info = _attached(shelf, fabric, fc, 'port')
    fabric.targets[0].leave()
    fc_support.wait_active(volume, 2, failed=2)
    support.assert_is(info['path'], volume)
    fabric.targets[0].come_back()
    for number, initiator in enumerate(fabric.initiators):
        # One after the other: the volume stays usable.
        initiator.replug()
        fabric.wait_for(initiator)
        fc_support.wait_active(volume, 3 + number, failed=1 - number)
        support.assert_is(info['path'], volume)
    fc.disconnect_volume(props, info)


def test_two_volumes_side_by_side(shelf, fabric, fc):
    """Attach and detach of several volumes behind the same ports, in threads."""
    volumes = {lun: fc_support.served(shelf, fabric, f'side{lun}', lun) for lun in (1, 2, 3)}
    infos: dict[int, dict[str, str]] = {}

    def life(lun: int) -> None:
        infos[lun] = fc.connect_volume(fabric.properties(lun))
        support.assert_is(infos[lun]['path'], volumes[lun])
        fc.disconnect_volume(fabric.properties(lun), infos[lun])

    threads = [threading.Thread(target=life, args=(lun,)) for lun in volumes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert {lun: info['scsi_wwn'] for lun, info in infos.items()} == {
        lun: volume.wwid for lun, volume in volumes.items()
    }
