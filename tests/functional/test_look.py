# SPDX-License-Identifier: Apache-2.0
"""os-brick tree, list and show on the real kernel, of real volumes of each transport."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

from oslo_config import cfg
import pytest

import os_brick
from os_brick.core.records import Ended
from os_brick.host import inventory
from os_brick.model.inventory import State
from tests import breadth
from tests.functional import fc_support, lab, nvme_support, support

ROOT = pathlib.Path(__file__).parents[2]
# What changes something, starts something, or reaches something; writes are looked at one by one.
CALLS = (
    'execve,fork,vfork,clone,clone3,open,openat,creat,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,'
    'renameat,renameat2,symlink,symlinkat,link,linkat,chmod,fchmod,fchmodat,chown,truncate,'
    'ftruncate,mount,umount2,connect,bind,flock,fcntl,kill,write,pwrite64,writev'
)


def troubles():
    """What is wrong with the volumes of this host, by the same code in this process."""
    return {volume.device: volume for volume in inventory.read().volumes
            if volume.state is not State.OK}  # fmt: skip


def command(*words, code=0, before=(), **environment):
    """What os-brick prints."""
    done = subprocess.run(
        [*before, sys.executable, '-m', 'os_brick', *words],
        cwd=ROOT,
        env={**os.environ, 'PYTHONDONTWRITEBYTECODE': '1', **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, (words, troubles(), done.stderr)
    return done.stdout


def volumes(*words, **more):
    found = json.loads(command('tree', '-f', 'json', *words, **more))
    return {volume['device']: volume for volume in found['volumes']}


@pytest.fixture
def attached(shelf, multi, fc, nvme, fabric):
    """A volume over iSCSI, one over Fibre Channel, one over NVMe: (transport, volume, info)."""
    gold = support.stamped(shelf, 'gold')
    target = shelf.target('look', 2)
    target.map(1, gold)
    silver = fc_support.served(shelf, fabric, 'silver', lun=7)
    store, subsystem = nvme_support.served(shelf, 'bronze', 2)
    ways = (
        ('iscsi', gold, multi, target.properties(1, plural=True)),
        ('fc', silver, fc, fabric.properties(7)),
        ('nvme-tcp', store, nvme, subsystem.properties(1)),
    )
    done = [(connector, props, connector.connect_volume(props)) for _, _, connector, props in ways]
    for (_, _, info), count in zip(done, (2, 4), strict=False):
        support.wait_disks(info['path'], count)
    lab.shell.settle()  # An attach of NVMe does not wait for udev's links.
    # A second path may be connected after the attach, and multipathd looks at each in turn.
    with contextlib.suppress(AssertionError):
        lab.shell.until(lambda: not troubles(), 20, 'no path has any trouble')
    assert not troubles()
    yield [(ways[n][0], ways[n][1], done[n][2]) for n in range(3)]
    for connector, props, info in done:
        connector.disconnect_volume(props, info)


def test_every_transport_and_nothing_is_touched(attached, tmp_path):
    """Each volume has its identity, size, target and paths; strace sees no write, no program, no
    device opened. The devices confirm what the kernel has of them."""
    before = lab.oracle.snapshot()
    trace = tmp_path / 'trace'
    found = volumes(before=('strace', '-f', '-qq', '-e', f'trace={CALLS}', '-o', str(trace)))
    for transport, volume, info in attached:
        device = support.node(info['path'])
        shown = found[device]
        assert shown['protocol'] == transport
        assert shown['state'] == 'ok'
        assert shown['size_bytes'] == support.size(info['path'])
        wanted = volume.uuid if transport == 'nvme-tcp' else volume.wwid
        assert shown['identity'].removeprefix('uuid.') == wanted
        if transport != 'nvme-tcp':
            assert {path['device'] for path in shown['paths']} == set(support.disks_of(device))
        assert all(path['link'] and path['remote'] for path in shown['paths'])
    _require_only_reads(trace.read_text())
    asked = volumes('--ask')
    for transport, volume, info in attached:
        for path in asked[support.node(info['path'])]['paths']:
            wanted = volume.uuid if transport == 'nvme-tcp' else volume.wwid
            assert wanted in path['reported']
            assert not path['trouble']
    assert not lab.oracle.difference(before, lab.oracle.snapshot())


def _require_only_reads(trace):
    lines = [re.sub(r'^\d+ +', '', line) for line in trace.splitlines()]
    calls = [line for line in lines if re.match(r'\w+\(', line)]
    assert sum('execve(' in line and ' = 0' in line for line in calls) == 1, calls
    for line in calls:
        name = line.partition('(')[0]
        if name in ('open', 'openat'):
            assert 'O_WRONLY' not in line, line
            assert 'O_RDWR' not in line, line
            assert 'O_CREAT' not in line, line
            # O_PATH only resolves a name: the driver is not asked (open(2)).
            assert 'O_PATH' in line or not re.search(r'"/dev/(?!null|urandom)', line), line
        elif name in ('write', 'writev', 'pwrite64'):
            assert line.startswith(('write(1,', 'write(2,')), line
        elif name == 'fcntl':
            assert 'SETLK' not in line, line
        elif name in ('clone', 'clone3'):
            # The thread that reads, so that a file that hangs costs its own line.
            assert 'CLONE_THREAD' in line, line
        else:
            assert name == 'execve', line


def test_users_and_names(attached, shelf, tmp_path):
    """What is built on a volume, who has it open; by whatever name it is asked for."""
    _, _, info = attached[0]
    device = support.node(info['path'])
    lab.shell.run('cryptsetup', 'open', '--type', 'plain', '--cipher', 'aes-xts-plain64', '-s',
                  '256', '--key-file', '/dev/zero', info['path'], 'look-crypt')  # fmt: skip
    try:
        with open('/dev/mapper/look-crypt', 'rb'):
            [user] = volumes()[device]['users']
    finally:
        lab.shell.run('cryptsetup', 'close', 'look-crypt')
    assert (user['kind'], user['name']) == ('dm-crypt', 'look-crypt')
    assert [(each['kind'], each['name']) for each in user['users']] == [
        ('process', str(os.getpid()))
    ]
    disk = support.disks_of(device)[0]
    link = pathlib.Path(f'/dev/disk/by-id/dm-uuid-mpath-{attached[0][1].wwid}')
    for name in (device, info['path'], str(link), disk, attached[0][1].wwid):
        assert set(volumes(name)) == {device}, name
    assert disk in command('show', disk, '-f', 'value')
    listed = command('list', '-f', 'value', '-c', 'device').split()
    assert {support.node(info['path']) for _, _, info in attached} <= set(listed)
    unprivileged = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups')
    assert device in volumes(code=3, before=unprivileged)


def test_beside_a_service_at_work(shelf, multi, tmp_path):
    """Looks without an end while volumes come and go: no error on either side, and no wait for a
    lock. What is half there is told as such, and is not taken for something that is wrong."""
    target = shelf.target('beside', 2)
    for lun in (1, 2):
        target.map(lun, support.stamped(shelf, f'beside{lun}'))
    every = [target.properties(lun, plural=True) for lun in (1, 2)]
    own, conf = cfg.CONF.os_brick, tmp_path / 'brick.conf'
    conf.write_text(f'[os_brick]\nlock_path = {own.lock_path}\nstate_path = {own.state_path}\n')
    looks = subprocess.Popen(
        [sys.executable, '-m', 'tests.functional.looks', conf],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ended = []
    stop = os_brick.observe(lambda each: ended.append(each) if isinstance(each, Ended) else None)
    try:
        assert looks.stdout.readline() == 'begun\n', looks.stderr.read()
        for _ in range(breadth.examples(2, 25)):
            infos = [multi.connect_volume(props) for props in every]
            for props, info in zip(every, infos, strict=True):
                multi.disconnect_volume(props, info)
    finally:
        stop()
        out, err = looks.communicate('end', timeout=120)
    found = json.loads(out)
    assert (looks.returncode, err, found['errors'], found['unread']) == (0, '', [], [])
    assert all(set(codes) <= {'0', '1', '2'} for codes in found['codes'].values()), found
    assert {each.outcome for each in ended} == {'done'}
    assert max(each.lock_seconds for each in ended) < 1
    wrong = {each.split()[1] for each in found['findings']}
    assert wrong <= {'map-degraded'}, found
