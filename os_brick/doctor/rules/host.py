# SPDX-License-Identifier: Apache-2.0
"""Rules on the host as a whole: names, services, modules, programs, notes."""

from __future__ import annotations

from collections.abc import Iterator

from os_brick.doctor import facts
from os_brick.doctor.case import FAIL, INFO, WARN, Case, Values
from os_brick.model import fabrics

# What is to be installed, by distribution.
_PACKAGES = {
    'iscsiadm': 'open-iscsi (Debian, Ubuntu, SUSE), iscsi-initiator-utils (Fedora, RHEL)',
    'multipathd': 'multipath-tools (Debian, Ubuntu, SUSE), device-mapper-multipath (Fedora, RHEL)',
    'mdadm': 'mdadm',
    'cryptsetup': 'cryptsetup',
    'mount.nfs': 'nfs-common (Debian, Ubuntu), nfs-client (SUSE) or nfs-utils (Fedora, RHEL)',
}
# The program that a protocol needs, by what notes call it.
_OF_PROTOCOL = {'iscsi': 'iscsiadm', 'iser': 'iscsiadm', 'nfs': 'mount.nfs'}
# Without these a protocol does not work; the others are loaded when they are asked for, or help.
_VITAL = {'iscsi_tcp', 'dm_multipath'}


def hostid_mismatch(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A host ID that is not the UUID in this host's NVMe name, or is there without one."""
    if found.names is None or not found.names.host_id:
        return
    uuid = fabrics.uuid_of_nqn(found.names.host_nqn) or ''
    words = {'id': found.names.host_id, 'nqn': found.names.host_nqn or 'missing'}
    if not found.names.host_nqn:
        yield Case('/etc/nvme/hostid', words, level=INFO)
    elif uuid and uuid.lower() != found.names.host_id.lower():
        yield Case('/etc/nvme/hostid', words)


def nvme_multipath_off(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """The kernel makes a block device of each path to a namespace."""
    if found.nvme_multipath != 'N':
        return
    names = [each.name for each in found.controllers or ()]
    if names or 'nvme' in (found.programs or ()):
        use = f'{", ".join(names)} are connected' if names else 'nothing is connected yet'
        yield Case('nvme_core', {'use': use}, level=FAIL if names else WARN)


def lock_path_split(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """Services of this host that have their lock files in several directories."""
    services = found.known_services
    if len({each.lock_path for each in services}) > 1:
        paths = '; '.join(f'{each.path}: {each.lock_path or "none"}' for each in services)
        yield Case(', '.join(each.name for each in services), {'paths': paths})


def privsep_helper(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A service whose root daemon cannot be started, or is another release of this library."""
    for each in found.known_services:
        if each.helper_fault:
            words = {'service': each.name, 'helper': each.helper, 'fault': each.helper_fault}
            yield Case(each.name, words)


def container_view(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """This process does not see the host's devices, processes or daemons."""
    if found.processes is not None:
        yield from _hidden(found.processes)
    if found.view is not None:
        yield from _not_mounted(found.view)


def _hidden(processes: facts.Processes) -> Iterator[Case]:
    if not processes.shows_host:
        yield Case('/proc', {'lack': 'the processes of the host', 'need': 'the process namespace'})
    if processes.wwids_differ:
        lack = 'the file of WWIDs that multipathd reads'
        yield Case('/etc/multipath', {'lack': lack, 'need': '/etc/multipath'}, level=WARN)
    if processes.shows_host:
        yield from _unreachable(processes)


def _not_mounted(view: facts.View) -> Iterator[Case]:
    if view.without_node:
        few = ', '.join(view.without_node[:8])
        lack = f'nodes of {few} (/dev is {view.dev_kind or "not devtmpfs"})'
        yield Case('/dev', {'lack': lack, 'need': '/dev'})
    if view.sys_is_read_only:
        yield Case('/sys', {'lack': 'a /sys that can be written to', 'need': '/sys, writable'})


def _unreachable(processes: facts.Processes) -> Iterator[Case]:
    """Daemons that run, with their abstract sockets in another network namespace."""
    sockets = {
        'iscsid': '@ISCSIADM_ABSTRACT_NAMESPACE',
        'multipathd': '@/org/kernel/linux/storage/multipathd',
    }
    for name, socket in sockets.items():
        if name in processes.states and socket not in processes.listening:
            words = {'lack': f'the socket of {name}, which runs', 'need': 'the network namespace'}
            yield Case(name, words)


def unfinished(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """An operation whose process has ended before it was done."""
    for note in found.known_notes:
        if note.is_abandoned:
            words = {
                'volume': note.volume,
                'state': note.state,
                'process': note.process or 'a process',
                'devices': ', '.join(note.devices) or 'no device that was noted',
            }
            yield Case(note.volume, words)


def module_missing(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A kernel module that a protocol needs and that cannot be loaded."""
    if found.modules is not None:
        for name in sorted(found.modules.absent):
            words = {'module': name, 'release': found.modules.release}
            yield Case(name, words, level=FAIL if name in _VITAL else WARN)


def program_missing(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A program that what is attached, or configured, needs."""
    if found.programs is None:
        return
    for name, need in _needed(found).items():
        if name not in found.programs:
            words = {'program': name, 'need': need, 'package': _PACKAGES[name]}
            yield Case(name, words)


def _needed(found: facts.Facts) -> dict[str, str]:
    needed = {}
    if found.sessions:
        needed['iscsiadm'] = f'{len(found.sessions)} iSCSI sessions'
    elif found.records:
        needed['iscsiadm'] = f'{len(found.records)} records of iSCSI targets'
    for each in found.known_services:
        if each.wants_multipath:
            needed['multipathd'] = f'the multipath volumes of {each.name}'
    for note in found.known_notes:
        program = _OF_PROTOCOL.get(note.protocol.lower())
        if program:
            needed.setdefault(program, f'volume {note.volume} ({note.protocol})')
    return needed
