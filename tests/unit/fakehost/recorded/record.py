# SPDX-License-Identifier: Apache-2.0
"""Writes down what the kernel and the tools of the guest really say, for the unit tests.

    tools/guest run -e PYTHONPATH=/opt/checkout /opt/os-brick/bin/python \\
        tests/unit/fakehost/recorded/record.py /mnt/share/new.json

Run by hand when the guest has a newer kernel or tool; the file goes to ``recorded/guest.json``.
"""

import glob
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from os_brick import privileged
from os_brick.privileged import dm, scsi
from tests.functional import lab

SCSI_ID = '/usr/lib/udev/scsi_id'


def say(*argv: str) -> dict[str, Any]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return {
        'argv': list(argv),
        'exit_code': done.returncode,
        'stdout': done.stdout,
        'stderr': done.stderr,
    }


def read(path: str) -> str | None:
    try:
        return pathlib.Path(path).read_bytes().decode('latin-1')
    except OSError:
        return None


def tree(base: str) -> list[str]:
    """Every name below a directory: ``path/`` a directory, ``path -> target`` a link."""
    found = []
    for place, directories, files in os.walk(base):
        for name in sorted(directories + files):
            path = os.path.join(place, name)
            if os.path.islink(path):
                found.append(f'{path} -> {os.readlink(path)}')
            else:
                found.append(path + '/' * os.path.isdir(path))
    return sorted(found)


def disk(name: str) -> dict[str, Any]:
    base = f'/sys/block/{name}/device'
    address = os.path.realpath(base).rpartition('/')[2]
    pages = scsi.identity_pages(address, 10.0)
    return {
        'name': name,
        'address': address,
        'asked': {'80': pages[0].hex(), '83': pages[1].hex()},
        'cached': {
            page: (read(f'{base}/vpd_pg{page}') or '').encode('latin-1').hex()
            for page in ('80', '83')
        },
        'vendor': read(f'{base}/vendor'),
        'model': read(f'{base}/model'),
        'state': read(f'{base}/state'),
        'size': read(f'/sys/block/{name}/size'),
        'dev': read(f'/sys/block/{name}/dev'),
        'scsi_id': say(SCSI_ID, '-g', '-u', f'/dev/{name}')['stdout'],
        'udev': say('udevadm', 'info', '-q', 'property', '-n', name)['stdout'],
    }


def disks(pattern: str) -> list[str]:
    return sorted(os.path.basename(path) for path in glob.glob(pattern))


def versions() -> dict[str, str]:
    packages = ('open-iscsi', 'multipath-tools', 'udev')
    return {
        'kernel': os.uname().release,
        **{name: say('dpkg-query', '-W', '-f', '${Version}', name)['stdout'] for name in packages},
    }


def iscsi(testbed: lab.Testbed) -> dict[str, Any]:
    volume = testbed.volume('gold', megabytes=64)
    target = testbed.target('t1', portals=2)
    target.map(1, volume)
    node = ('iscsiadm', '-m', 'node', '-T', target.iqn, '-p')
    found: dict[str, Any] = {'iqn': target.iqn, 'portals': target.portals}
    first, second = target.portals
    said = {
        'discover': say(
            *('iscsiadm', '-m', 'discovery', '-t', 'sendtargets', '-I', 'default'),
            *('-p', first, '--op', 'nonpersistent'),
        ),
        'delete missing': say(*node, first, '-I', 'default', '--op', 'delete'),
        'new': say(*node, first, '-I', 'default', '--op', 'new'),
        'new again': say(*node, first, '-I', 'default', '--op', 'new'),
        'new second': say(*node, second, '-I', 'default', '--op', 'new'),
    }
    found['records'] = {
        path: read(path)
        for home in ('/etc/iscsi', '/var/lib/iscsi')
        for path in glob.glob(f'{home}/nodes/**', recursive=True)
        if os.path.isfile(path)
    }
    for portal in target.portals:
        say(*node, portal, '--op', 'update', '-n', 'node.session.scan', '-v', 'manual')
    said['login'] = say(*node, first, '-I', 'default', '--login')
    said['login again'] = say(*node, first, '-I', 'default', '--login')
    say(*node, second, '-I', 'default', '--login')
    said['logout missing'] = say('iscsiadm', '-m', 'session', '-r', '99999', '--logout')
    said['iface'] = say('iscsiadm', '-m', 'iface', '-I', 'default')
    said['iface missing'] = say('iscsiadm', '-m', 'iface', '-I', 'nosuch')
    sessions = sorted(glob.glob('/sys/class/iscsi_session/session*'))
    for path in sessions:
        host = os.path.realpath(path).split('/host')[1].split('/')[0]
        lab.shell.write(f'/sys/class/scsi_host/host{host}/scan', '0 0 1')
    lab.shell.until(lambda: len(disks_of_map()) == 2, 30, 'the map')
    lab.shell.settle()
    time.sleep(2)
    found['sysfs'] = [
        line
        for path in sessions
        for line in tree(os.path.realpath(path).split('/session')[0])
        if '/power' not in line and '/mq' not in line and '/queue' not in line
    ]
    found['values'] = {
        path: read(path)
        for name in [os.path.basename(path) for path in sessions]
        for path in [
            *(
                f'/sys/class/iscsi_session/{name}/{key}'
                for key in ('targetname', 'target_id', 'state', 'ifacename')
            ),
            *(
                f'/sys/class/iscsi_connection/{name.replace("session", "connection")}:0/{key}'
                for key in ('address', 'port', 'persistent_address', 'persistent_port')
            ),
        ]
    }
    found['links'] = {
        path: os.readlink(path)
        for pattern in (
            '/sys/class/iscsi_session/*',
            '/sys/class/iscsi_connection/*',
            '/sys/block/sd*',
            '/sys/block/dm-*',
            '/sys/class/block/sd*',
            '/sys/bus/scsi/devices/*',
            '/sys/class/scsi_host/*',
            '/sys/class/bsg/*',
            '/dev/disk/by-path/ip-*',
        )
        for path in glob.glob(pattern)
    }
    found['disks'] = [disk(name) for name in disks_of_map()]
    found['map'] = a_map(disks_of_map())
    found['map tree'] = [
        line
        for line in tree(os.path.realpath('/sys/block/' + found['map']['name']))
        if '/power' not in line and '/mq' not in line and '/queue' not in line
    ]
    found['said'] = said
    found['multipathd'] = multipathd(found['map'], disks_of_map())
    say('iscsiadm', '-m', 'node', '-T', target.iqn, '--logout')
    target.groups[0].chap('user', 'secretsecret')
    said['refused'] = say(*node, first, '-I', 'default', '--login')
    target.groups[0].only('iqn.2026-11.org.lab:somebody-else')
    say('iscsiadm', '-m', 'node', '-T', target.iqn, '--op', 'delete')
    return found


def disks_of_map() -> list[str]:
    maps = [
        path for path in glob.glob('/sys/block/dm-*') if 'mpath-' in str(read(f'{path}/dm/uuid'))
    ]
    return disks(f'{maps[0]}/slaves/*') if maps else []


def a_map(members: list[str]) -> dict[str, Any]:
    path = glob.glob('/sys/block/dm-*')[0]
    name = os.path.basename(path)
    uuid = str(read(f'{path}/dm/uuid'))
    found = {
        'name': name,
        'uuid': uuid,
        'dm name': read(f'{path}/dm/name'),
        'dev': read(f'{path}/dev'),
        'status': {'all active': dm.status(uuid)},
    }
    first, second = members
    lab.daemons.ask(f'fail path {first}')
    found['status']['one failed'] = dm.status(uuid)
    lab.daemons.ask(f'fail path {second}')
    found['status']['all failed'] = dm.status(uuid)
    say('dmsetup', 'message', str(found['dm name']).strip(), '0', 'queue_if_no_path')
    found['status']['queueing'] = dm.status(uuid)
    say('dmsetup', 'message', str(found['dm name']).strip(), '0', 'fail_if_no_path')
    for each in members:
        lab.daemons.ask(f'reinstate path {each}')
    found['status']['again'] = dm.status(uuid)
    say('dmsetup', 'suspend', '--noflush', '--nolockfs', str(found['dm name']).strip())
    found['status']['suspended'] = dm.status(uuid)
    say('dmsetup', 'resume', str(found['dm name']).strip())
    return found


def multipathd(known: dict[str, Any], members: list[str]) -> dict[str, str]:
    name = str(known['dm name']).strip()
    questions = [
        'show daemon',
        'show paths raw format "%d %w %T %m"',
        f'add path {members[0]}',
        'add path sdzzz',
        'add path vda',
        'del path sdzzz',
        'del map nosuch',
        f'resize map {name}',
        f'disablequeueing map {name}',
        'disablequeueing map nosuch',
        f'del path {members[1]}',
        f'add path {members[1]}',
        f'del map {name}',
        f'del path {members[0]}',
        f'del path {members[1]}',
        'show paths raw format "%d %w %T %m"',
        'show path sdzzz',
    ]
    return {f'{number:02} {text}': lab.daemons.ask(text) for number, text in enumerate(questions)}


def scsi_debug() -> list[dict[str, Any]]:
    before = set(disks('/sys/block/sd*'))
    say('modprobe', 'scsi_debug', 'dev_size_mb=32', 'max_luns=1', 'vpd_use_hostno=0')
    lab.shell.settle()
    try:
        return [disk(name) for name in sorted(set(disks('/sys/block/sd*')) - before)]
    finally:
        lab.shell.settle()
        for _ in range(50):
            if say('rmmod', 'scsi_debug')['exit_code'] == 0:
                break
            time.sleep(0.2)


def main(path: str) -> None:
    privileged.default.set_client_mode(False)
    found: dict[str, Any] = {'versions': versions()}
    found['scsi_debug'] = scsi_debug()
    with lab.Testbed() as testbed:
        found['iscsi'] = iscsi(testbed)
    pathlib.Path(path).write_text(json.dumps(found, indent=1, sort_keys=True) + '\n')


if __name__ == '__main__':
    main(sys.argv[1])
