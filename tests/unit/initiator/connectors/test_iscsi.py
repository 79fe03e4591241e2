# SPDX-License-Identifier: Apache-2.0
"""iSCSI volumes come and go: what the host looks like before, in between, and after."""

import concurrent.futures
import contextlib
import logging
import os
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception, opts
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

SECRET = 'correct-horse-battery'
EITHER = pytest.mark.parametrize('multipath', [False, True])
NAMED = pytest.mark.parametrize('plural', [False, True])

Host = fake_host.Host


def connector(multipath: bool = True) -> iscsi.ISCSIConnector:
    return iscsi.ISCSIConnector(None, use_multipath=multipath)


def mount(host: Host, number: str, place: str = '/srv') -> None:
    line = f'36 1 {number} / {place} rw shared:1 - ext4 /dev/whatever rw\n'
    host.tree.file('/proc/self/mountinfo', line)


@pytest.fixture
def target(host: Host) -> array.Target:
    """A target on two portals with one volume, LUN 1."""
    found = host.target('t1', portals=2)
    found.luns[1] = array.Unit('gold')
    return found


@EITHER
@NAMED
def test_a_whole_life(host: Host, target: array.Target, multipath: bool, plural: bool) -> None:
    before = host.snapshot()
    props = target.properties(plural=plural)
    asked = dict(props)
    brick = connector(multipath)
    info = brick.connect_volume(props)
    assert props == asked
    wwid = target.luns[1].wwid
    if multipath:
        assert info == {
            'type': 'block',
            'path': '/dev/dm-0',
            'scsi_wwn': wwid,
            'multipath_id': wwid,
        }
        assert len(host.maps['dm-0'].disks) == len(host.sessions) == 2
    else:
        assert info == {'type': 'block', 'path': '/dev/sda', 'scsi_wwn': wwid}
        assert len(host.disks) == len(host.sessions) == 1
    target.luns[1].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    shown = {
        host.tree.at(f'/sys/block/{name}/size').read_text() for name in (*host.disks, *host.maps)
    }
    assert shown == {f'{96 * 2048}\n'}
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
def test_attach_twice_is_the_same_volume(host: Host, target: array.Target, multipath: bool) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    between = host.snapshot()
    acts = len(host.acts)
    assert brick.connect_volume(props) == info
    assert host.snapshot() == between
    assert not [act for act in host.acts[acts:] if act.startswith('iscsiadm')]
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@pytest.mark.parametrize('device_info', [None, {}])
@EITHER
def test_detach_knows_the_volume_by_its_properties(
    host: Host, target: array.Target, multipath: bool, device_info: Any
) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    brick.connect_volume(target.properties(plural=True))
    text = {**target.properties('1', plural=True), 'target_lun': '1'}  # type: ignore[arg-type]
    brick.disconnect_volume(text, device_info)
    assert host.snapshot() == before


@EITHER
@NAMED
def test_detach_with_the_database_lost(
    host: Host, target: array.Target, multipath: bool, plural: bool
) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    props = target.properties(plural=plural)
    info = brick.connect_volume(props)
    host.tree.remove('/var/lib/iscsi/nodes')
    host.tree.directory('/var/lib/iscsi/nodes')
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
def test_detach_of_what_is_not_here_says_so(
    host: Host, target: array.Target, multipath: bool, caplog: pytest.LogCaptureFixture
) -> None:
    before = host.snapshot()
    connector(multipath).disconnect_volume(target.properties(plural=True), None)
    assert host.snapshot() == before
    assert f'LUN 1 of target {target.iqn}' in caplog.text


@EITHER
def test_a_session_with_other_luns_stays(host: Host, target: array.Target, multipath: bool) -> None:
    target.luns[2] = array.Unit('silver')
    brick = connector(multipath)
    kept = brick.connect_volume(target.properties(2, plural=True))
    before = host.snapshot()
    props = target.properties(1, plural=True)
    info = brick.connect_volume(props)
    assert info['scsi_wwn'] == target.luns[1].wwid
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before
    assert os.path.basename(kept['path']) in {*host.disks, *host.maps}


@EITHER
def test_lun_absent(host: Host, target: array.Target, multipath: bool) -> None:
    """Target, portal and LUN are in the message; nothing is left; the scan time-out holds."""
    before = host.snapshot()
    begun = host.clock.monotonic()
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        connector(multipath).connect_volume(target.properties(9, plural=multipath))
    assert host.clock.monotonic() - begun < opts.current().scan_seconds + 10
    for word in (target.iqn, str(target.portals[0]), 'LUN 9'):
        assert word in str(caught.value)
    assert host.snapshot() == before


@EITHER
def test_a_stale_disk_is_replaced(host: Host, target: array.Target, multipath: bool) -> None:
    """The array maps another volume to the LUN, and no one has detached the old one."""
    before = host.snapshot()
    brick = connector(multipath)
    props = target.properties(plural=True)
    brick.connect_volume(props)
    target.luns[1] = array.Unit('other', megabytes=96)
    info = brick.connect_volume(props)
    assert info['scsi_wwn'] == target.luns[1].wwid
    assert all(disk.unit is target.luns[1] for disk in host.disks.values())
    if multipath:
        assert [found.wwid for found in host.maps.values()] == [target.luns[1].wwid]
    brick.disconnect_volume(props, info)
    left = host.snapshot()
    wwids = left.pop('/etc/multipath/wwids')
    before.pop('/etc/multipath/wwids')
    assert left == before
    assert target.luns[1].wwid not in wwids


def test_a_stale_disk_beside_another_volume_is_replaced_alone(
    host: Host, target: array.Target
) -> None:
    target.luns[2] = array.Unit('silver')
    brick = connector(multipath=False)
    brick.connect_volume(target.properties(2))
    silver = host.snapshot()
    brick.connect_volume(target.properties(1))
    target.luns[1] = array.Unit('other')
    props = target.properties(1)
    info = brick.connect_volume(props)
    assert info['scsi_wwn'] == target.luns[1].wwid
    brick.disconnect_volume(props, info)
    assert host.snapshot() == silver


@EITHER
def test_a_stale_disk_in_use_is_no_volume(
    host: Host, target: array.Target, multipath: bool
) -> None:
    """The error has both identities and who uses it; the disk stays."""
    brick = connector(multipath)
    props = target.properties(plural=multipath)
    old = target.luns[1]
    info = brick.connect_volume(props)
    mount(host, '253:0' if multipath else '8:0')
    target.luns[1] = array.Unit('other')
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        brick.connect_volume(props)
    for word in (old.wwid, target.luns[1].wwid, 'mount on /srv'):
        assert word in str(caught.value)
    assert host.snapshot() == before
    assert os.path.basename(info['path']) in {*host.disks, *host.maps}


def two_targets(host: Host) -> dict[str, Any]:
    """Properties of LUN 1 at two targets, which the caller says is one volume."""
    first, second = host.target('t1'), host.target('t2')
    first.luns[1], second.luns[1] = array.Unit('gold'), array.Unit('silver')
    return {
        'target_portals': [str(first.portals[0]), str(second.portals[0])],
        'target_iqns': [first.iqn, second.iqn],
        'target_luns': [1, 1],
    }


def test_disks_that_disagree_are_no_volume(host: Host) -> None:
    props = two_targets(host)
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector().connect_volume(props)
    for target in host.targets:
        assert target.luns[1].wwid in str(caught.value)
    left = host.snapshot()
    assert left == before


def test_disks_of_different_size_are_no_volume(host: Host) -> None:
    props = two_targets(host)
    gold = host.targets[0].luns[1]
    host.targets[1].luns[1] = array.Unit(gold.name, megabytes=32, number=gold.number)
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector().connect_volume(props)
    assert str(64 << 20) in str(caught.value)
    assert str(32 << 20) in str(caught.value)
    assert host.snapshot() == before


@EITHER
def test_another_volume_than_expected(host: Host, target: array.Target, multipath: bool) -> None:
    before = host.snapshot()
    other = array.Unit('other').wwid
    props = target.properties(plural=True, expected_wwid=other)
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector(multipath).connect_volume(props)
    assert other in str(caught.value)
    assert target.luns[1].wwid in str(caught.value)
    assert host.snapshot() == before


@EITHER
@pytest.mark.parametrize('force', [False, True])
def test_detach_leaves_a_disk_that_is_another_volume(
    host: Host, target: array.Target, multipath: bool, force: bool
) -> None:
    """``device_info`` names the volume: the LUN's disk is someone else's by now."""
    brick = connector(multipath)
    brick.connect_volume(target.properties(plural=True))
    before = host.snapshot()
    info = {'type': 'block', 'path': '/dev/sdz', 'scsi_wwn': array.Unit('other').wwid}
    wanted = exception.ExceptionChainer if force else exception.VolumeIdentityMismatch
    with pytest.raises(wanted, match=info['scsi_wwn']):
        brick.disconnect_volume(target.properties(plural=True), info, force=force)
    assert host.snapshot() == before


@EITHER
@pytest.mark.parametrize('force', [False, True])
@pytest.mark.parametrize('attached', [False, True])
@pytest.mark.parametrize('kept', ['path', 'device_path', 'wwid', 'everything'])
def test_what_a_caller_has_kept_may_be_another_volumes(
    host: Host, target: array.Target, multipath: bool, force: bool, attached: bool, kept: str
) -> None:
    """dm names are used again: a stale path, or another volume's answer, takes nothing of it."""
    target.luns[2] = array.Unit('silver')
    brick = connector(multipath)
    silver = brick.connect_volume(target.properties(2, plural=True))
    props = target.properties(1, plural=True)
    info: dict[str, Any] | None = {
        'path': {'path': silver['path']},
        'device_path': None,
        'wwid': {'scsi_wwn': silver['scsi_wwn']},
        'everything': silver,
    }[kept]
    before = host.snapshot()
    if attached:
        brick.connect_volume(props)
    given = {**props, 'device_path': silver['path']} if kept == 'device_path' else props
    with contextlib.suppress(exception.BrickException):
        brick.disconnect_volume(given, info, force=force)
    brick.disconnect_volume(props, None)
    left = host.snapshot()
    for snapshot in (before, left):
        snapshot.pop('/etc/multipath/wwids', None)
    assert left == before


def test_a_disk_behind_another_portal_goes_along(host: Host, target: array.Target) -> None:
    """Attached by two portals, detached by one: the volume goes as a whole."""
    before = host.snapshot()
    brick = connector()
    info = brick.connect_volume(target.properties(plural=True))
    props = target.properties(plural=True)
    for key in ('target_portals', 'target_iqns', 'target_luns'):
        props[key] = props[key][:1]
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
@pytest.mark.parametrize('force', [False, True])
def test_detach_takes_a_stale_disk_along(
    host: Host, target: array.Target, multipath: bool, force: bool
) -> None:
    """The LUN's disk is what it was before the array mapped the volume there: no one's."""
    before = host.snapshot()
    brick = connector(multipath)
    props = target.properties(plural=True)
    brick.connect_volume(props)
    target.luns[1] = array.Unit('other')
    info = {'type': 'block', 'path': '/dev/sdz', 'scsi_wwn': target.luns[1].wwid}
    brick.disconnect_volume(props, info, force=force)
    assert host.snapshot() == before


@EITHER
def test_wrong_chap_secret(
    host: Host, target: array.Target, multipath: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Named as such, and never shown."""
    caplog.set_level(logging.DEBUG)
    target.chap = ('user', 'another one')
    before = host.snapshot()
    with pytest.raises(exception.LoginRefused) as caught:
        connector(multipath).connect_volume(chap(target))
    assert 'CHAP' in str(caught.value)
    assert target.iqn in str(caught.value)
    assert host.snapshot() == before
    shown = [caplog.text, str(caught.value), repr(caught.value), str(host.commands), str(host.acts)]
    assert not [text for text in shown if SECRET in text]


def test_an_operators_record_stays_as_it_is(host: Host, target: array.Target) -> None:
    """A login that is refused leaves a record that was there as it was, with its secret."""
    brick = connector(multipath=False)
    props = target.properties()
    info = brick.connect_volume(props)
    root = pathlib.Path(str(host.tree.root))
    (path,) = [p for p in root.rglob('*') if '/nodes/' in str(p) and p.is_file()]
    kept = path.read_text().replace('node.startup = manual', 'node.startup = automatic')
    # open-iscsi writes no comment of ours into a record that an operator makes.
    kept = ''.join(line for line in kept.splitlines(keepends=True) if 'os-brick' not in line)
    brick.disconnect_volume(props, info)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(kept)
    target.chap = ('user', 'another one')
    secret = {'auth_method': 'CHAP', 'auth_username': 'user', 'auth_password': SECRET}
    with pytest.raises(exception.LoginRefused):
        brick.connect_volume({**props, **secret})
    assert path.read_text() == kept


def chap(target: array.Target) -> dict[str, Any]:
    return target.properties(
        plural=True, auth_method='CHAP', auth_username='user', auth_password=SECRET
    )


@EITHER
def test_chap(
    host: Host, target: array.Target, multipath: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret is in open-iscsi's record, for root alone, and nowhere else."""
    caplog.set_level(logging.DEBUG)
    target.chap = ('user', SECRET)
    before = host.snapshot()
    brick = connector(multipath)
    info = brick.connect_volume(chap(target))
    holders = {path for path, text in host.snapshot().items() if SECRET in text}
    assert holders
    for path in holders:
        assert path.startswith('/var/lib/iscsi/nodes/')
        assert host.tree.at(path).stat().st_mode & 0o777 == 0o600
    brick.disconnect_volume(chap(target), info)
    assert host.snapshot() == before
    assert not [text for text in (caplog.text, str(host.commands)) if SECRET in text]


@EITHER
def test_an_unknown_initiator_is_refused(host: Host, target: array.Target, multipath: bool) -> None:
    target.knows_initiator = False
    before = host.snapshot()
    with pytest.raises(exception.LoginRefused) as caught:
        connector(multipath).connect_volume(target.properties(plural=True))
    assert any(str(portal) in str(caught.value) for portal in target.portals)
    assert host.snapshot() == before


@EITHER
@NAMED
def test_all_portals_closed(
    host: Host, target: array.Target, multipath: bool, plural: bool
) -> None:
    target.close()
    before = host.snapshot()
    with pytest.raises(exception.BrickException) as caught:
        connector(multipath).connect_volume(target.properties(plural=plural))
    assert str(target.portals[0]) in str(caught.value)
    assert host.snapshot() == before


def test_the_first_of_two_portals_closed(host: Host, target: array.Target) -> None:
    target.portals[0].close()
    before = host.snapshot()
    brick = connector(multipath=False)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    assert host.disk_of(info['path']).session.portal is target.portals[1]
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_one_of_four_portals_closed(host: Host) -> None:
    target = host.target('t4', portals=4)
    target.luns[1] = array.Unit()
    target.portals[2].close()
    before = host.snapshot()
    brick = connector()
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    assert len(host.maps[os.path.basename(info['path'])].disks) == 3
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_multipathd_stopped(host: Host, target: array.Target) -> None:
    host.multipathd_runs = False
    before = host.snapshot()
    with pytest.raises(exception.BrickException, match='multipathd'):
        connector().connect_volume(target.properties(plural=True, enforce_multipath=True))
    assert host.snapshot() == before
    props = target.properties(plural=True)
    info = connector().connect_volume(props)
    assert 'multipath_id' not in info
    assert info['path'] == '/dev/sda'
    connector().disconnect_volume(props, info)
    assert host.snapshot() == before


@pytest.mark.parametrize('answer', ['blacklisted', 'fail\nsomething has it'])
def test_multipathd_does_not_want_the_disks(host: Host, target: array.Target, answer: str) -> None:
    host.multipath_refusal = answer
    before = host.snapshot()
    props = target.properties(plural=True)
    info = connector().connect_volume(props)
    assert host.disk_of(info['path']).unit is target.luns[1]
    assert target.luns[1].wwid not in host.tree.at('/etc/multipath/wwids').read_text()
    connector().disconnect_volume(props, info)
    assert host.snapshot() == before


@pytest.mark.parametrize('answer', ['ok', 'timeout'])
def test_multipathd_is_too_slow(host: Host, target: array.Target, answer: str) -> None:
    """It wants the disks and makes no map in time: it may take any that we would hand out."""
    host.multipath_refusal = answer
    before = host.snapshot()
    with pytest.raises(exception.OperationTimedOut, match=f'multipath map.*{answer}'):
        connector().connect_volume(target.properties(plural=True))
    assert host.snapshot() == before


def test_multipathd_reads_another_file_of_wwids(
    host: Host, target: array.Target, caplog: pytest.LogCaptureFixture
) -> None:
    """In a container without the host's ``/etc/multipath``, find_multipaths being strict: it takes
    each disk, answers ``ok`` and makes no map of an unknown WWID, until it is asked for the map."""
    host.own_wwids = set()
    before = host.snapshot()
    props = target.properties(plural=True)
    started = host.clock.monotonic()
    info = connector().connect_volume(props)
    assert host.clock.monotonic() - started < 5
    assert info['multipath_id'] == target.luns[1].wwid
    assert len(host.maps['dm-0'].disks) == 2
    assert caplog.text.count('mount /etc/multipath') == 1
    connector().disconnect_volume(props, info)
    assert host.snapshot() == before


def test_multipathd_reads_another_file_and_the_disks_are_in_use(
    host: Host, target: array.Target, caplog: pytest.LogCaptureFixture
) -> None:
    """It makes no map when it is asked for it either: one disk is used, and soon."""
    host.own_wwids = set()
    host.disks_in_use = True
    before = host.snapshot()
    props = target.properties(plural=True)
    started = host.clock.monotonic()
    info = connector().connect_volume(props)
    assert host.clock.monotonic() - started < 30
    assert 'multipath_id' not in info
    assert host.disk_of(info['path']).unit is target.luns[1]
    assert f'maps no {target.luns[1].wwid}' in caplog.text
    connector().disconnect_volume(props, info)
    assert host.snapshot() == before


def test_multipathd_is_busy(host: Host, target: array.Target) -> None:
    """It comes to the disks after a minute: the attach has waited for it."""
    host.multipath_refusal = 'ok'
    before = host.snapshot()
    host.clock.after(60, lambda: setattr(host, 'multipath_refusal', ''))
    props = target.properties(plural=True)
    started = host.clock.monotonic()
    info = connector().connect_volume(props)
    assert 60 < host.clock.monotonic() - started < 100
    assert info['multipath_id'] == target.luns[1].wwid
    connector().disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
def test_a_holder_is_named_and_kept(host: Host, target: array.Target, multipath: bool) -> None:
    brick = connector(multipath)
    props = target.properties(plural=True)
    before = host.snapshot()
    info = brick.connect_volume(props)
    mount(host, '253:0' if multipath else '8:0')
    attached = host.snapshot()
    with pytest.raises(exception.VolumeInUse, match='mount on /srv'):
        brick.disconnect_volume(props, info)
    assert host.snapshot() == attached
    host.tree.file('/proc/self/mountinfo')
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_logical_volume_on_the_disk_is_not_taken_for_its_map(
    host: Host, target: array.Target
) -> None:
    brick = connector(multipath=False)
    props = target.properties()
    info = brick.connect_volume(props)
    lv = '/sys/devices/virtual/block/dm-7'
    host.tree.value(f'{lv}/dm/uuid', 'LVM-abcdef')
    host.tree.value(f'{lv}/dm/name', 'vg-lv')
    host.tree.link('/sys/class/block/dm-7', lv)
    host.tree.link('/sys/block/sda/holders/dm-7', lv)
    before = host.snapshot()
    with pytest.raises(exception.VolumeInUse, match='logical volume vg-lv'):
        brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_map_that_is_open_stays(host: Host, target: array.Target) -> None:
    before = host.snapshot()
    brick = connector()
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    host.maps['dm-0'].open_count = 1
    attached = host.snapshot()
    with pytest.raises(exception.VolumeInUse):
        brick.disconnect_volume(props, info)
    assert host.snapshot() == attached
    host.maps['dm-0'].open_count = 0
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@pytest.mark.parametrize(('force', 'ignore'), [(True, True), (True, False)])
def test_a_forced_detach_of_a_map_that_queues(
    host: Host, target: array.Target, force: bool, ignore: bool
) -> None:
    """Every path is dead and the map queues: what is left goes, in time; nothing hangs."""
    before = host.snapshot()
    brick = connector()
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    host.maps['dm-0'].queues = True
    for session in list(host.sessions.values()):
        host.cut(session)
    begun = host.clock.monotonic()
    with contextlib.nullcontext() if ignore else contextlib.suppress(exception.ExceptionChainer):
        brick.disconnect_volume(props, info, force=force, ignore_errors=ignore)
    assert host.clock.monotonic() - begun <= cfg.CONF.os_brick.operation_timeout
    assert host.snapshot() == before


def test_grow_with_a_dead_path(host: Host, target: array.Target) -> None:
    brick = connector()
    props = target.properties(plural=True)
    before = host.snapshot()
    info = brick.connect_volume(props)
    found = host.maps['dm-0']
    dead, live = found.disks
    host.set_state(dead, 'transport-offline')
    target.luns[1].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    assert found.sectors == 96 * 2048
    assert found.disks == [live]
    host.set_state(dead, 'running')
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_grow_of_what_is_not_here(host: Host, target: array.Target) -> None:
    before = host.snapshot()
    with pytest.raises(exception.VolumePathsNotFound, match='LUN 1'):
        connector().extend_volume(target.properties(plural=True))
    assert host.snapshot() == before


@EITHER
def test_grow_never_touches_another_volume(
    host: Host, target: array.Target, multipath: bool
) -> None:
    brick = connector(multipath)
    props = target.properties(plural=True)
    brick.connect_volume(props)
    old = target.luns[1]
    target.luns[1] = array.Unit('other', megabytes=96)
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        brick.extend_volume(props)
    assert old.wwid in str(caught.value)
    assert target.luns[1].wwid in str(caught.value)
    assert host.snapshot() == before


@EITHER
def test_a_unit_that_answers_nothing(host: Host, target: array.Target, multipath: bool) -> None:
    """Its disk appears and no command ends: an error within the deadline, nothing left."""
    target.luns[1].unresponsive = True
    before = host.snapshot()
    begun = host.clock.monotonic()
    with pytest.raises(exception.BrickException):
        connector(multipath).connect_volume(target.properties(plural=True))
    assert host.clock.monotonic() - begun <= cfg.CONF.os_brick.operation_timeout
    assert host.snapshot() == before


@EITHER
def test_encrypted_volumes_have_a_link(host: Host, target: array.Target, multipath: bool) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    props = target.properties(plural=True, encrypted=True)
    info = brick.connect_volume(props)
    device = '/dev/dm-0' if multipath else '/dev/sda'
    assert info['path'] == '/dev/disk/by-id/os-brick' + device.replace('/', '+')
    assert host.tree.at(info['path']).readlink().as_posix() == device
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_an_open_map_has_its_link_all_the_time(host: Host, target: array.Target) -> None:
    """Its user may open it again by the link while a detach waits, and is refused in the end."""
    brick = connector()
    props = target.properties(plural=True, encrypted=True)
    info = brick.connect_volume(props)
    host.maps['dm-0'].open_count = 1
    attached = host.snapshot()
    there: list[bool] = []
    sleep = host.clock.sleep

    def look_and_sleep(seconds: float) -> None:
        there.append(host.tree.at(info['path']).is_symlink())
        sleep(seconds)

    host.clock.sleep = look_and_sleep  # type: ignore[method-assign]
    with pytest.raises(exception.VolumeInUse):
        brick.disconnect_volume(props, info)
    assert there
    assert all(there)
    assert host.snapshot() == attached


def test_the_link_of_another_volume_stays(host: Host, target: array.Target) -> None:
    """A caller that mixes up what attaches have returned."""
    brick = connector(False)
    target.luns[2] = array.Unit('silver')
    before = host.snapshot()
    props = [target.properties(lun=lun, plural=True, encrypted=True) for lun in (1, 2)]
    infos = [brick.connect_volume(each) for each in props]
    with contextlib.suppress(exception.BrickException):
        brick.disconnect_volume(props[0], infos[1])
    assert host.tree.at(infos[1]['path']).is_symlink()
    brick.disconnect_volume(props[1], infos[1])
    brick.disconnect_volume(props[0], infos[0])
    assert host.snapshot() == before


@EITHER
def test_link_not_made(host: Host, target: array.Target, multipath: bool) -> None:
    device = '/dev/dm-0' if multipath else '/dev/sda'
    host.tree.file(f'/dev/disk/by-id/os-brick{device.replace("/", "+")}/full')
    before = host.snapshot()
    with pytest.raises(OSError, match=r'os-brick\+dev\+'):
        connector(multipath).connect_volume(target.properties(plural=True, encrypted=True))
    assert host.snapshot() == before


def test_the_paths_of_another_volume_are_dropped(host: Host, target: array.Target) -> None:
    """Only the first target was named; the discovery tells of another with the same LUN."""
    other = host.target('t2')
    other.luns[1] = array.Unit('silver')
    other.portals += target.portals[:1]  # Told of at the same portal.
    before = host.snapshot()
    brick = connector()
    props = target.properties()
    info = brick.connect_volume(props)
    assert info['scsi_wwn'] == target.luns[1].wwid
    assert {disk.unit.name for disk in host.disks.values()} == {'gold'}
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_volume_paths(host: Host, target: array.Target) -> None:
    brick = connector(multipath=False)
    props = target.properties(plural=True)
    assert brick.get_volume_paths(props) == []
    info = brick.connect_volume(props)
    assert brick.get_volume_paths(props) == [
        f'/dev/disk/by-path/ip-{target.portals[0]}-iscsi-{target.iqn}-lun-1'
    ]
    assert brick.check_valid_device(info['path'])
    assert not brick.check_valid_device('/dev/sdq')
    brick.disconnect_volume(props, info)
    assert brick.get_volume_paths(props) == []


def test_sixteen_volumes_of_one_target_side_by_side(host: Host) -> None:
    target = host.target('t16', portals=2)
    for lun in range(1, 9):
        target.luns[lun] = array.Unit(f'volume{lun}')
    before = host.snapshot()
    brick = connector()
    asked = [target.properties(lun, plural=True) for lun in range(1, 9)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        infos = list(pool.map(brick.connect_volume, asked))
    assert [info['scsi_wwn'] for info in infos] == [target.luns[n].wwid for n in range(1, 9)]
    assert len({info['path'] for info in infos}) == 8
    assert len(host.sessions) == 2
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(brick.disconnect_volume, asked, infos))
    assert host.snapshot() == before


# What is one moment's trouble of a healthy volume must not be taken for another volume.


@EITHER
def test_page_80_fails_once_at_a_second_attach(
    host: Host, target: array.Target, multipath: bool
) -> None:
    """The volume is in use by what attached it first (a guest, which shows as no holder)."""
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    before = host.snapshot()
    disk = host.disk_of(info['path'])
    host.inquiry_fails = [(disk.address, 0x80)]
    with contextlib.suppress(exception.BrickException, OSError):
        brick.connect_volume(props)
    assert not host.inquiry_fails
    assert host.disks[disk.name] is disk
    assert host.snapshot() == before


@pytest.mark.parametrize('page', [0x80, 0x83])
@EITHER
def test_an_inquiry_fails_once_at_a_detach(
    host: Host, target: array.Target, multipath: bool, page: int
) -> None:
    """What was written is flushed, or the detach does not succeed."""
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    host.inquiry_fails = [(disk.address, page) for disk in host.disks.values()]
    host.flushes.clear()
    try:
        brick.disconnect_volume(props, info)
    except (exception.BrickException, OSError):
        return
    assert os.path.basename(info['path']) in host.flushes


@EITHER
def test_what_was_written_is_flushed(host: Host, target: array.Target, multipath: bool) -> None:
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    host.flushes.clear()
    brick.disconnect_volume(props, info)
    assert os.path.basename(info['path']) in host.flushes


@EITHER
def test_what_was_written_is_not_flushed_into_another_volume(
    host: Host, target: array.Target, multipath: bool
) -> None:
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    target.luns[1] = array.Unit('other')
    host.flushes.clear()
    brick.disconnect_volume(props, info)
    assert host.flushes == []


def in_two_targets(host: Host) -> tuple[list[array.Target], dict[str, object]]:
    """A volume that two targets show, which is attached through both."""
    unit = array.Unit('gold')
    targets = [host.target('t1'), host.target('t2')]
    for each in targets:
        each.luns[1] = unit
    props = targets[0].properties() | {
        'target_portals': [str(each.portals[0]) for each in targets],
        'target_iqns': [each.iqn for each in targets],
        'target_luns': [1, 1],
    }
    return targets, props


@pytest.mark.parametrize('now', [array.Unit('other'), None])
@pytest.mark.parametrize('rescanned', [False, True])
@pytest.mark.parametrize('force', [False, True])
def test_one_path_leads_to_another_volume_by_the_time_of_the_flush(
    host: Host, now: array.Unit | None, rescanned: bool, force: bool
) -> None:
    """The map would write through every path that it has: the stale one leaves it before."""
    before = host.snapshot()
    targets, props = in_two_targets(host)
    gold = targets[0].luns[1]
    info = connector().connect_volume(props)
    stale = next(d for d in host.disks.values() if d.session.target is targets[1])
    if now is None:
        del targets[1].luns[1]
    else:
        targets[1].luns[1] = now
        if rescanned:
            host.tree.at(f'/sys/block/{stale.name}/device/rescan').write_text('1')
            host.settle()
    host.flushes.clear()
    host.reached.clear()
    connector().disconnect_volume(props, info, force=force)
    assert host.flushes == ['dm-0']
    assert host.reached == [gold]
    assert host.snapshot() == before


@pytest.mark.parametrize('force', [False, True])
def test_without_multipathd_no_flush_reaches_another_volume_either(host: Host, force: bool) -> None:
    """The detach may be refused: nothing takes the stale path out of the map there."""
    targets, props = in_two_targets(host)
    info = connector().connect_volume(props)
    other = targets[1].luns[1] = array.Unit('other')
    host.multipathd_runs = False
    host.reached.clear()
    with contextlib.suppress(exception.BrickException):
        connector().disconnect_volume(props, info, force=force)
    assert other not in host.reached


@EITHER
def test_what_is_mapped_no_more_needs_no_flush(
    host: Host, target: array.Target, multipath: bool
) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    del target.luns[1]
    host.flushes.clear()
    brick.disconnect_volume(props, info)
    assert host.flushes == []
    assert host.snapshot() == before


def test_one_side_that_is_read_only_is_named(
    host: fake_host.Host, caplog: pytest.LogCaptureFixture
) -> None:
    """A secondary of a mirrored array: the map is read-only as a whole, and the log says why."""
    target = host.target('sides', portals=2)
    target.luns[1] = array.Unit('gold')
    props = target.properties(plural=True)
    info = connector(True).connect_volume(props)
    assert 'read-only' not in caplog.text
    locked = sorted(host.disks)[1]
    host.tree.value(f'/sys/class/block/{locked}/ro', 1)
    assert connector(True).connect_volume(props) == info
    assert f'not through those of {locked}' in caplog.text
