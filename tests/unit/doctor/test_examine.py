# SPDX-License-Identifier: Apache-2.0
"""Each finding is planted on the fake host and found; none is found on a host that is well."""

from collections.abc import Callable
import functools
import os
import shlex
import string

import pytest

from os_brick.core import trace
from os_brick.doctor import case, catalogue, examine
from os_brick.initiator.connectors import iscsi
from tests.unit.doctor.conftest import Ward, ids
from tests.unit.fakehost import array, surroundings
from tests.unit.fakehost import host as fake_host
from tests.unit.initiator import forked

CHECKS = [name for name, entry in catalogue.entries().items() if not entry.is_of_fleet]
PLANTS: dict[str, Callable[[Ward], object]] = {}
# What comes with a finding, because one fact breaks two rules.
ALONG = {
    'map-mixed': {'identity-stale'},
    'disk-two-maps': {'identity-stale', 'map-mixed', 'map-degraded'},
    'session-stuck': {'map-degraded'},
    'ghost-map': {'orphan-disk'},
    'ghost-map-open': {'orphan-disk'},
}


def plants(name: str) -> Callable[[Callable[[Ward], object]], Callable[[Ward], object]]:
    def decorate(plant: Callable[[Ward], object]) -> Callable[[Ward], object]:
        PLANTS[name] = plant
        return plant

    return decorate


def test_a_host_that_is_well_has_no_finding(ward: Ward) -> None:
    result = ward.examine()
    assert result.findings == ()
    assert result.unread == ()
    assert result.exit_code == 0
    assert set(result.checks) == set(CHECKS)


def test_a_host_without_volumes_has_no_finding(ward: Ward) -> None:
    ward.connector.disconnect_volume(ward.target.properties(plural=True), ward.info)
    result = ward.examine()
    assert (result.findings, result.unread) == ((), ())


@pytest.mark.parametrize('is_own', [False, True])
def test_the_file_of_wwids_that_multipathd_reads(ward: Ward, is_own: bool) -> None:
    """The one here, as on a host, or another one, as where a container lacks /etc/multipath."""
    tree = ward.host.tree
    (stat,) = (
        each for each in tree.at('/proc').glob('*/stat') if '(multipathd)' in each.read_text()
    )
    tree.at('/etc/multipath').mkdir(exist_ok=True)
    theirs = tree.at(f'/proc/{stat.parent.name}/root/etc/multipath/wwids')
    theirs.parent.mkdir(parents=True)
    if is_own:
        theirs.write_text('/3600/')
    else:
        theirs.hardlink_to(tree.at('/etc/multipath/wwids'))
    result = ward.examine()
    assert [each.object for each in result.findings] == ['/etc/multipath'] * is_own
    assert result.exit_code == is_own


def test_looking_changes_nothing_and_starts_no_program(ward: Ward) -> None:
    before, commands = ward.host.snapshot(), len(ward.host.commands)
    ward.examine()
    assert ward.host.snapshot() == before
    assert len(ward.host.commands) == commands


@pytest.mark.parametrize('name', CHECKS)
def test_a_finding_that_is_planted_is_found(name: str, ward: Ward) -> None:
    PLANTS[name](ward)
    result = ward.examine()
    assert name in ids(result)
    assert ids(result) <= {name} | ALONG.get(name, set())
    for each in result.findings:
        assert each.object
        assert '{' not in each.text + each.why


@pytest.mark.parametrize('name', ['x; reboot', '$(reboot)', "a'b", 'dm-3', 'a\nreboot'])
def test_what_is_typed_runs_nothing_that_others_have_named(name: str) -> None:
    """Names of maps, targets and volumes are put into a command as one word each."""
    for entry in catalogue.entries().values():
        fields = {
            field
            for text in (entry.text, entry.why, entry.repair, *entry.repairs.values())
            for _, field, _, _ in string.Formatter().parse(text)
            if field
        } - {'package'}
        words = {**dict.fromkeys(fields, name), 'package': 'x'}
        quoted = {**dict.fromkeys(fields, shlex.quote(trace.one_line(name))), 'package': 'x'}
        for variant in ('', *entry.repairs):
            found = examine.finding(entry, case.Case(name, words, variant=variant))
            assert found.repair == entry.repairs.get(variant, entry.repair).format(**quoted)
            assert '\n' not in found.text + found.why + found.repair + found.object


# Disks and volumes.


@plants('identity-stale')
def _remap_all(ward: Ward) -> None:
    ward.target.luns[1] = array.Unit('other')


@plants('map-mixed')
def _mix(ward: Ward) -> None:
    """One portal of the array leads to another volume at the same LUN."""
    session = ward.map.disks[1].session
    session.target = array.Target('t1', 0)
    session.target.luns[1] = array.Unit('other')


@plants('map-size-mixed')
def _grow_one(ward: Ward) -> None:
    disk = ward.map.disks[0]
    ward.host.tree.value(f'{disk.device}/block/{disk.name}/size', disk.unit.sectors * 2)


@plants('disk-two-maps')
def _second_map(ward: Ward) -> None:
    wwid = array.Unit('other').wwid
    second = fake_host.Map(7, wwid, [ward.map.disks[0]], ward.map.sectors)
    ward.host.maps[second.name] = second
    ward.host._show_map(second)
    ward.host._tie(second, ward.map.disks[0])


@plants('lun-unmapped')
def _unmap(ward: Ward) -> None:
    del ward.target.luns[1]


@plants('orphan-disk')
def _scan(ward: Ward) -> None:
    ward.target.luns[2] = array.Unit('foreign')
    # One session, so that it is not a volume with two disks that multipathd leaves out.
    ward.host.find_lun(next(iter(ward.host.sessions.values())), 2)


@plants('lvm-active-on-volume')
def _activate(ward: Ward) -> None:
    base = '/sys/devices/virtual/block/dm-9'
    tree, below = ward.host.tree, ward.map
    tree.value(f'{base}/dm/uuid', 'LVM-abc')
    tree.value(f'{base}/dm/name', 'vg0-data')
    tree.value(f'{base}/dev', '253:9')
    tree.link(f'{base}/slaves/{below.name}', below.base)
    tree.link(f'{below.base}/holders/dm-9', base)
    tree.file('/dev/dm-9')
    for place in ('/sys/block', '/sys/class/block'):
        tree.link(f'{place}/dm-9', base)


@plants('max-sectors-mixed')
def _smaller_requests(ward: Ward) -> None:
    ward.host.tree.value(f'{ward.map.base}/queue/max_sectors_kb', 1024)
    for disk, size in zip(ward.map.disks, (1024, 512), strict=True):
        place = f'{disk.device}/block/{disk.name}/queue/max_sectors_kb'
        ward.host.tree.value(place, size)


# Maps and multipathd.


def _without_paths(ward: Ward) -> None:
    ward.map.open_count = 1  # Else the fake host removes it with its last path.
    for disk in list(ward.map.disks):
        ward.host.drop_path(ward.map, disk.name)


@plants('ghost-map')
def _ghost(ward: Ward) -> None:
    _without_paths(ward)
    ward.map.open_count = 0


@plants('ghost-map-open')
def _open_ghost(ward: Ward) -> None:
    _without_paths(ward)
    ward.around.process(5120, 'qemu')
    ward.around.open(5120, ward.map.name)


@plants('map-degraded')
def _offline(ward: Ward) -> None:
    ward.host.set_state(ward.map.disks[0], 'offline')


@plants('map-suspended')
def _suspend(ward: Ward) -> None:
    ward.map.is_suspended = True
    ward.host.tree.value(f'{ward.map.base}/dm/suspended', 1)


@plants('multipathd-down')
def _stop_multipathd(ward: Ward) -> None:
    ward.host.multipathd_runs = False
    ward.around.end(762)


@plants('multipathd-mute')
def _mute(ward: Ward) -> None:
    def hang(what: str) -> None:
        if what == 'multipathd show daemon':
            raise OSError('it does not answer')

    ward.host.before_act = hang


@plants('mpath-queue-forever')
def _queue(ward: Ward) -> None:
    ward.map.queueing, ward.map.queues = 'on', True


@plants('mpath-blacklisted')
def _blacklist(ward: Ward) -> None:
    ward.host.multipath_refusal = 'blacklisted'
    ward.target.luns[2] = array.Unit('second')
    single = iscsi.ISCSIConnector(None, use_multipath=True)
    single.connect_volume(ward.target.properties(2, plural=True))
    for session in ward.host.sessions.values():
        ward.host.find_lun(session, 2)
    ward.host.settle()
    for disk in ward.host.disks.values():
        if disk.lun == 2:
            ward.host.excluded.add(disk.name)
            ward.around.process(6000 + len(disk.name), 'qemu')
            ward.around.process(ord(disk.name[-1]) + 5000, 'qemu')
            ward.around.open(ord(disk.name[-1]) + 5000, disk.name)


# iSCSI.


@plants('session-stuck')
def _cut(ward: Ward) -> None:
    session = next(iter(ward.host.sessions.values()))
    ward.host.cut(session)
    ward.host.tree.value(f'/sys/class/iscsi_session/session{session.number}/state', 'FREE')


def _record(ward: Ward, name: str, value: str) -> None:
    for path in ward.host.tree.at('/var/lib/iscsi/nodes').rglob('*'):
        if path.is_file():
            lines = path.read_text().splitlines()
            kept = [line for line in lines if not line.startswith(f'{name} ')]
            path.write_text('\n'.join([*kept, f'{name} = {value}', '']))


@plants('node-startup-automatic')
def _automatic(ward: Ward) -> None:
    _record(ward, 'node.startup', 'automatic')


@plants('session-scan-auto')
def _auto_scan(ward: Ward) -> None:
    _record(ward, 'node.session.scan', 'auto')


@plants('iscsi-recovery-tmo')
def _long_recovery(ward: Ward) -> None:
    for number in ward.host.sessions:
        ward.host.tree.value(f'/sys/class/iscsi_session/session{number}/recovery_tmo', 120)


@plants('iscsid-down')
def _stop_iscsid(ward: Ward) -> None:
    ward.around.end(700)
    ward.around.mute(surroundings.ISCSID)


@plants('name-changed')
def _rename(ward: Ward) -> None:
    path = '/etc/iscsi/initiatorname.iscsi'
    ward.host.tree.file(path, 'InitiatorName=iqn.2026-11.org.lab:another\n')


# The host.


@plants('hostid-mismatch')
def _other_id(ward: Ward) -> None:
    ward.host.tree.value('/etc/nvme/hostid', 'f0000000-7d0f-4c3a-9d39-1f1b3c2d4e5f')


@plants('nvme-multipath-off')
def _multipath_off(ward: Ward) -> None:
    ward.host.tree.value('/sys/module/nvme_core/parameters/multipath', 'N')


def _helper_of(ward: Ward, project: str) -> None:
    tree = ward.host.tree
    for name in ('sudo', f'{project}-rootwrap'):
        tree.file(f'/usr/bin/{name}')
    tree.file(f'/etc/{project}/rootwrap.conf', '[DEFAULT]\nexec_dirs = /usr/bin,/usr/sbin\n')
    tree.file('/usr/bin/privsep-helper', '#!/bin/sh\n')


@plants('lock-path-split')
def _two_directories(ward: Ward) -> None:
    for project in ('nova', 'cinder'):
        _helper_of(ward, project)
        text = f'[DEFAULT]\nstate_path = /var/lib/{project}\n'
        text += '[oslo_concurrency]\nlock_path = $state_path/locks\n'
        ward.host.tree.file(f'/etc/{project}/{project}.conf', text)


@plants('privsep-helper')
def _no_helper(ward: Ward) -> None:
    _helper_of(ward, 'nova')
    ward.host.tree.remove('/usr/bin/privsep-helper')
    ward.host.tree.file('/etc/nova/nova.conf', '[os_brick]\nlock_path = /var/lock/os-brick\n')


@plants('container-view')
def _container(ward: Ward) -> None:
    ward.host.tree.remove('/proc/2')


@plants('module-missing')
def _no_module(ward: Ward) -> None:
    ward.host.tree.remove('/sys/module/iscsi_tcp')


@plants('program-missing')
def _no_iscsiadm(ward: Ward) -> None:
    ward.host.tree.remove('/usr/sbin/iscsiadm')


@plants('unfinished')
def _killed(ward: Ward) -> None:
    """The process of a second attach is killed in the middle of it."""
    ward.target.luns[2] = array.Unit('second')
    status = forked.status(functools.partial(_killed_at_scan, ward))
    assert status == 9


def _killed_at_scan(ward: Ward) -> None:
    def before_act(what: str) -> None:
        os._exit(9)

    ward.host.before_act = before_act
    iscsi.ISCSIConnector(None).connect_volume(ward.target.properties(2, volume_id='v2'))
