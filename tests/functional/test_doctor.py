# SPDX-License-Identifier: Apache-2.0
"""The doctor on a real kernel: no finding where all is well, and each that can be planted cheaply.

The findings are planted one after the other beside one volume, since an attach costs more than a
look. What is read is read by the root daemon here, as the connectors' is.
"""

from collections.abc import Callable, Iterator
import contextlib
import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

from oslo_config import cfg
import pytest

from os_brick.core import wait
from os_brick.doctor import examine, readers
from tests import breadth
from tests.functional import fc_support, lab, support

HOST_ID = pathlib.Path('/etc/nvme/hostid')
SECRET = 'bundle-S3cret-1'
GHOST = '36001405dead00000000000000000beef'

# Of each transport, with tools/test --all.
MANY = 20

Plant = contextlib.AbstractContextManager[object]


def findings() -> dict[str, set[str]]:
    """The findings that are failures or warnings, with their objects."""
    found = readers.read(wait.Deadline.after(10), is_root=True)
    # Other tests kill processes in the middle of an operation, which stays noted.
    result = examine.examine(found, {}, skipped=['unfinished'])
    every: dict[str, set[str]] = {}
    for each in result.findings:
        if each.level != 'I':
            every.setdefault(each.id, set()).add(each.object)
    return every


def test_a_fresh_host_has_no_finding():
    assert findings() == {}


@pytest.mark.parametrize('counts', [(2, 1, 1), *[(MANY, MANY, MANY)] * breadth.EVERYTHING], ids=str)
def test_volumes_of_each_transport_that_are_well_have_none(counts, shelf, fabric, multi, fc, nvme):
    """So many volumes over iSCSI, Fibre Channel and NVMe."""
    over_iscsi, over_fc, over_nvme = counts
    size = 32 if over_iscsi < MANY else 2  # MiB; all of them lie in memory.
    target = shelf.target('well', portals=2)
    attached = []
    for lun in range(1, over_iscsi + 1):
        target.map(lun, support.stamped(shelf, f'well{lun}', size))
        attached.append((multi, target.properties(lun, plural=True)))
    for lun in range(1, over_fc + 1):
        fc_support.served(shelf, fabric, f'wellfc{lun}', lun, size)
        attached.append((fc, fabric.properties(lun)))
    subsystem = shelf.subsystem('wellnvme', 2)
    for nsid in range(1, over_nvme + 1):
        store = shelf.store(f'wellnvme{nsid}', size)
        support.stamp(store)
        subsystem.map(nsid, store)
        attached.append((nvme, subsystem.properties(nsid)))
    infos = [connector.connect_volume(props) for connector, props in attached]
    for (connector, _), info in zip(attached, infos, strict=True):
        if connector is not nvme:
            support.wait_disks(info['path'], 4 if connector is fc else 2)
    with support.Stopwatch() as watch:
        assert findings() == {}
    # One on a machine that is not emulated; what is asked grows with the number of disks.
    assert watch.seconds < (3 if over_iscsi < MANY else 10)
    for (connector, props), info in zip(attached, infos, strict=True):
        connector.disconnect_volume(props, info)


@contextlib.contextmanager
def written(path: str | pathlib.Path, text: str) -> Iterator[None]:
    """Have another text in a file, or a value in sysfs."""
    place = pathlib.Path(path)
    before = place.read_bytes() if place.exists() else None
    place.write_text(text)
    try:
        yield
    finally:
        if before is None:
            place.unlink()
        else:
            place.write_bytes(before)


@contextlib.contextmanager
def between(plant: Callable[[], object], undo: Callable[[], object]) -> Iterator[None]:
    plant()
    try:
        yield
    finally:
        undo()


def record(target: lab.lio.Target, name: str, value: str, before: str) -> Plant:
    def change(to: str) -> None:
        lab.shell.run(
            *('iscsiadm', '-m', 'node', '-T', target.iqn, '--op', 'update', '-n', name, '-v', to)
        )

    return between(lambda: change(value), lambda: change(before))


def stopped(name: str) -> Plant:
    def send(number: signal.Signals) -> None:
        for pid in lab.daemons.pids(name):
            os.kill(pid, number)

    return between(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT))


def mapped(name: str, uuid: str, table: str) -> Plant:
    """A device-mapper device of another program."""
    return between(
        lambda: lab.shell.run('dmsetup', 'create', name, '--uuid', uuid, '--table', table),
        lambda: lab.shell.run('dmsetup', 'remove', '--retry', name),
    )


@contextlib.contextmanager
def ghost() -> Iterator[None]:
    """A map without a path, which multipathd would remove if it were not stopped."""
    table = '0 65536 multipath 0 0 0 0'
    with stopped('multipathd'), mapped('ghost', f'mpath-{GHOST}', table):
        yield


@pytest.mark.leaves('multipathd')
def test_what_is_planted_is_found(shelf, multi, multipathd):
    """Each finding alone, at its object; and none any more when it is put right."""
    target = shelf.target('ward', portals=2)
    gold, other = support.stamped(shelf, 'gold'), support.stamped(shelf, 'other')
    target.map(1, gold)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    device = support.node(info['path'])
    first, _second = support.disks_of(info['path'])
    session = support.session_of(first)
    sys, disk = '/sys/class/iscsi_session', f'/sys/block/{first}'
    plants: list[tuple[set[str], Plant]] = [
        ({'iscsi-recovery-tmo'}, written(f'{sys}/{session}/recovery_tmo', '120')),
        ({'node-startup-automatic'}, record(target, 'node.startup', 'automatic', 'manual')),
        ({'session-scan-auto'}, record(target, 'node.session.scan', 'auto', 'manual')),
        (
            {'name-changed'},
            written(lab.daemons.INITIATOR_NAME, 'InitiatorName=iqn.2026-11.org.lab:new\n'),
        ),
        ({'hostid-mismatch'}, written(HOST_ID, 'f0000000-7d0f-4c3a-9d39-1f1b3c2d4e5f\n')),
        ({'map-degraded'}, written(f'{disk}/device/state', 'offline\n')),
        ({'max-sectors-mixed'}, written(f'{disk}/queue/max_sectors_kb', '64')),
        ({'iscsid-down'}, stopped('iscsid')),
        (
            {'identity-stale'},
            between(lambda: target.remap(1, other), lambda: target.remap(1, gold)),
        ),
        ({'lun-unmapped'}, between(lambda: target.unmap(1), lambda: target.map(1, gold))),
        (
            {'lvm-active-on-volume'},
            mapped('vg0-data', 'LVM-doctor', f'0 2048 linear /dev/{device} 2048'),
        ),
        (
            {'map-suspended'},
            between(
                lambda: lab.shell.run('dmsetup', 'suspend', '--noflush', gold.wwid),
                lambda: lab.shell.run('dmsetup', 'resume', gold.wwid),
            ),
        ),
        # Not by a message to the device: multipathd puts its table right within a second or two.
        (
            {'mpath-queue-forever'},
            between(lambda: multipathd(no_path_retry='queue'), lambda: multipathd()),
        ),
        ({'multipathd-mute', 'ghost-map'}, ghost()),
    ]
    wrong = []
    for wanted, plant in plants:
        with plant:
            # The kernel and multipathd may need a moment to have it.
            for _ in range(3):
                found = findings()
                if found.keys() >= wanted:
                    break
        if not found.keys() >= wanted or found.keys() - wanted - {'map-degraded'}:
            wrong.append((wanted, found))
    assert not wrong
    lab.shell.until(lambda: not findings(), 10, 'no finding is left', 0.5)
    multi.disconnect_volume(props, info)


def test_the_commands_on_a_host_with_a_secret(shelf, multi, tmp_path):
    """The programs themselves, with exit codes, and a bundle without the secret of a session."""
    target = shelf.target('bundle', portals=1)
    target.map(1, support.stamped(shelf, 'bundle'))
    target.chap('user', SECRET)
    props = target.properties(
        1, auth_method='CHAP', auth_username='user', auth_password=SECRET, plural=True
    )
    own, conf = cfg.CONF.os_brick, tmp_path / 'brick.conf'
    conf.write_text(f'[os_brick]\nlock_path = {own.lock_path}\nstate_path = {own.state_path}\n')
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 1)

    def call(*words: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, '-m', 'os_brick', *words, '--config-file', conf, '-f', 'json'],
            env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    code, found = call('doctor', '--timeout', '20', '--skip', 'unfinished')
    assert code in (0, 3), found
    assert not [each for each in found['findings'] if each['level'] != 'I']
    path = tmp_path / 'bundle.tar.gz'
    code, found = call('report', '-o', str(path))
    assert code in (0, 3)
    assert path.stat().st_mode & 0o777 == 0o600
    whole = gzip.decompress(path.read_bytes())
    assert target.iqn.encode() in whole
    assert b'node.session.auth.password = ***' in whole
    assert SECRET.encode() not in whole
    multi.disconnect_volume(props, info)


def test_a_session_whose_portal_is_away(shelf, multi):
    """The kernel's word on it changes once recovery_tmo has passed: 5 s below multipath."""
    target = shelf.target('away', portals=2)
    target.map(1, support.stamped(shelf, 'away'))
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    lab.net.cut('10.99.0.2')
    lab.shell.until(lambda: 'session-stuck' in findings(), 40, 'it is stuck', 1)
    assert findings().keys() == {'session-stuck', 'map-degraded'}
    lab.net.heal('10.99.0.2')
    lab.shell.until(lambda: not findings(), 40, 'it is well again', 1)
    multi.disconnect_volume(props, info)
