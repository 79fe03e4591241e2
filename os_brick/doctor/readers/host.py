# SPDX-License-Identifier: Apache-2.0
"""Reads the host as a whole: names, controllers, processes, sockets, modules, programs."""

from __future__ import annotations

import re

from os_brick.core import files, glance
from os_brick.doctor import facts
from os_brick.host import machine, mounts, nvme
from os_brick.model import host_files

_HOST_ID = '/etc/nvme/hostid'
_LARGEST_NAME_BYTES = 64 << 10
_WWIDS = '/etc/multipath/wwids'
_SOCKETS = '/proc/net/unix'
# Linux, net/unix/af_unix.c, unix_seq_show: the flag of a socket that listens (__SO_ACCEPTCON).
_LISTENS = 0x10000
_PLACES = (*('/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'),)
_PROGRAMS = ('iscsiadm', 'multipathd', 'mdadm', 'nvme', 'cryptsetup', 'mount.nfs')
# The modules of a program's protocol (Linux, scripts/modules.builtin and modules.dep have them).
_MODULES = {
    'iscsiadm': ('iscsi_tcp',),
    'multipathd': ('dm_multipath', 'scsi_dh_alua'),
    'nvme': ('nvme_tcp',),
}
# Kernel's stand-ins for discs that are not there to be opened.
_NODELESS = re.compile(r'(loop|ram|zram|nbd|fd|sr)\d+')


def host_names() -> facts.HostNames:
    """The NVMe names in this host's files.

    :raises BrickException: if there is something else in one of them.
    """
    try:
        host_id = host_files.nvme_host_id(files.read_regular(_HOST_ID, _LARGEST_NAME_BYTES))
    except FileNotFoundError:
        host_id = ''
    return facts.HostNames(machine.written_host_nqn(), host_id)


def controllers() -> tuple[facts.SeenController, ...]:
    """The NVMe controllers over fabrics."""
    return tuple(
        facts.SeenController(each.name, each.nqn, each.host_nqn, each.host_id)
        for each in nvme.controllers()
    )


def nvme_multipath() -> str:
    """The kernel's parameter: ``Y``, ``N``, or empty without the module."""
    return glance.read_or('/sys/module/nvme_core/parameters/multipath')


def processes() -> facts.Processes:
    """The processes, and who listens.

    :raises OSError: if that cannot be read.
    """
    states: dict[str, tuple[str, ...]] = {}
    wwids_differ = False
    for number in filter(str.isdigit, glance.names('/proc')):
        # Not cmdline: to read it waits for a process that hangs (Linux, fs/proc/base.c).
        text = glance.read_or(f'/proc/{number}/stat')
        name, _, rest = text.partition('(')[2].rpartition(')')
        if name:
            states[name] = (*states.get(name, ()), rest.strip()[:1])
        wwids_differ = wwids_differ or (name == 'multipathd' and _has_other_wwids(number))
    # The thread of the kernel that is process 2, in the first process namespace alone.
    shows_host = glance.read_or('/proc/2/comm') == 'kthreadd'
    return facts.Processes(states, shows_host, _listening(), wwids_differ)


def _has_other_wwids(number: str) -> bool:
    """Whether a process is seen to have another file of WWIDs than this one has."""
    seen = glance.inode(f'/proc/{number}/root{_WWIDS}')
    return seen not in (0, glance.inode(_WWIDS))


def _listening() -> frozenset[str]:
    lines = [line.split() for line in files.read(_SOCKETS).splitlines()[1:]]
    return frozenset(words[7] for words in lines if len(words) > 7 and int(words[3], 16) & _LISTENS)


def view() -> facts.View:
    """What this process sees of the host's devices."""
    table = mounts.of_process('self')
    kinds = {each.place: each for each in table}
    known = [name for name in glance.names('/sys/block') if not _NODELESS.fullmatch(name)]
    without = [
        name
        for name in known
        if glance.exists(f'/sys/block/{name}/dev')
        and not glance.exists(f'/dev/{name.replace("!", "/")}')
        and glance.exists(f'/sys/block/{name}/dev')  # It may go in between.
    ]
    return facts.View(
        tuple(without),
        '/sys' in kinds and 'ro' in kinds['/sys'].options,
        kinds['/dev'].kind if '/dev' in kinds else '',
    )


def programs() -> frozenset[str]:
    """The programs of storage that are installed."""
    return frozenset(
        name for name in _PROGRAMS if any(glance.exists(f'{place}/{name}') for place in _PLACES)
    )


def modules(installed: frozenset[str]) -> facts.Modules:
    """The modules of what is installed, of which some may be missing.

    :raises OSError: if one is not loaded, and the kernel's list of modules cannot be read.
    """
    release = files.read('/proc/sys/kernel/osrelease')
    wanted = [name for program in sorted(installed) for name in _MODULES.get(program, ())]
    left = {name for name in wanted if not glance.exists(f'/sys/module/{name}')}
    if left:
        base = f'/lib/modules/{release}'
        text = files.read(f'{base}/modules.dep') + '\n' + glance.read_or(f'{base}/modules.builtin')
        left = {name for name in left if not _is_listed(name, text)}
    return facts.Modules(frozenset(left), release)


def _is_listed(module: str, text: str) -> bool:
    name = module.replace('_', '[-_]')
    return re.search(rf'^\S*/{name}\.ko', text, re.MULTILINE) is not None
