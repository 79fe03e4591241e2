# SPDX-License-Identifier: Apache-2.0
"""What the pages tell a reader to type, typed: the tutorial, commands of troubleshooting."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from tests import breadth, pages
from tests.functional import lab, support, tutorial_support

# Some are not in the guest (sudo, journalctl); these write, or are the name of a command alone.
NOT_RUN = ('nvme gen-hostnqn > /etc/nvme/hostnqn', 'os-brick show')
PROGRAMS = (
    *('cat', 'iscsiadm', 'ls', 'lsblk', 'lslocks', 'lsscsi', 'multipath', 'multipathd', 'nvme'),
    *('os-brick', 'ps', 'sg_inq', 'uname', '/usr/lib/udev/scsi_id'),
)
PACKAGES = {
    'Linux': 'linux-image-amd64',
    'cryptsetup': 'cryptsetup-bin',
    'nfs-utils': 'nfs-common',
    'Ceph': 'ceph-common',
    'Python': 'python3',
}


def environment():
    return {**os.environ, 'PYTHONPATH': str(pages.ROOT), 'PYTHONDONTWRITEBYTECODE': '1'}


def test_the_tutorial_is_what_happens(shelf):
    """Each line of its session gives what the page shows, and the host is as before at its end."""
    try:
        done = subprocess.run(
            [sys.executable, '-m', 'tests.functional.tutorial_support'],
            cwd=pages.ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        pathlib.Path(tutorial_support.CONFIG).unlink(missing_ok=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def commands() -> list[str]:
    """Each command line of the page that names a program of the guest."""
    text = (pages.USER / 'troubleshooting.rst').read_text()
    lines = [line for block in pages.blocks(text) for line in block.splitlines()]
    parts = [part for line in lines for part in re.split(r'; | {2,}#.*', line)]
    found = {part.strip() for part in [*parts, *pages.literals(text)]}
    return sorted(
        each
        for each in found - set(NOT_RUN)
        # Ours take seconds each in the guest, and have tests of their own.
        if (breadth.EVERYTHING or not each.startswith('os-brick '))
        and each.partition(' ')[0] in PROGRAMS
        and ' ' in each
        and not re.search('…|-$', each)
    )


def trouble(command: str, where: pathlib.Path) -> str:
    """What is wrong with a command: its exit code, or a word of a usage that is wrong."""
    done = subprocess.run(
        ['/bin/sh', '-c', command],
        cwd=where,
        env={**environment(), 'PATH': f'{where}:{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Ours tell by the code what they found, and grep that it found nothing.
    good = range(4) if command.startswith('os-brick') else range(1 + ('| grep' in command))
    text = done.stdout[:200] + done.stderr
    if done.returncode in good and not re.search(r'(?i)usage:|unrecognized|invalid option', text):
        return ''
    return f'{command}: {done.returncode}, {text[-300:]}'


def test_the_commands_of_troubleshooting_work(shelf, multi, tmp_path):
    """Each ends well on a host with a volume."""
    (tmp_path / 'os-brick').write_text(f'#!/bin/sh\nexec {sys.executable} -m os_brick "$@"\n')
    (tmp_path / 'os-brick').chmod(0o755)
    volume = support.stamped(shelf, 'tried')
    target = shelf.target('tried', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    try:
        support.wait_disks(info['path'], 2)
        name = pathlib.Path(info['path']).name
        (disk, _) = os.listdir(f'/sys/block/{name}/slaves')
        typed = [
            re.sub(r'\bsd(X|c)\b', disk, command).replace('dm-4', name) for command in commands()
        ]
        assert len(typed) > 18
        assert not list(filter(None, (trouble(command, tmp_path) for command in typed)))
    finally:
        multi.disconnect_volume(props, info)


def test_versions_are_those_of_the_matrix():
    """The table of what the functional tests run on."""
    text = (pages.USER / 'support-matrix.rst').read_text()
    table = dict(re.findall(r'^([A-Z]?[a-z][\w-]+|NVMe) +(\d[\d.]+)$', text, re.MULTILINE))
    assert len(table) > 8
    show = shutil.which('dpkg-query')
    for name, version in table.items():
        found = lab.shell.run(str(show), '-W', '-f', '${Version}', PACKAGES.get(name, name))
        assert re.match(rf'(\d+:)?{re.escape(version)}(?!\d)', found), (name, version, found)
