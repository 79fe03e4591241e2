# SPDX-License-Identifier: Apache-2.0
"""Which programs callers outside may run as root: decided in the root daemon, by its own settings.

A program is on the list by its name, and is then found on root's own ``PATH``, which no call can
change. General tools, which could write any file, are on it with the arguments that block storage
needs. Programs that start another one (a shell, ``sudo``, ``nice``) are not on it; ``env`` is
looked through, because LVM's commands have always been called with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import os
import re

from oslo_concurrency import processutils
from oslo_config import cfg

from os_brick.core import trace
from os_brick.model import names

# Where an absolute path may lead, besides the directories of root's PATH.
_PLACES = frozenset(
    {
        *('/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'),
        # scsi_id
        *('/usr/lib/udev', '/lib/udev'),
    }
)

# What nova, cinder, glance_store, their drivers and other connectors run to handle block devices
# and network file systems.
_LISTED = """
    lvm lvchange lvconvert lvcreate lvdisplay lvextend lvreduce lvremove lvrename lvresize lvs
    lvscan pvchange pvck pvcreate pvdisplay pvmove pvremove pvresize pvs pvscan
    vgcfgbackup vgcfgrestore vgchange vgck vgcreate vgdisplay vgexport vgextend vgimport vgreduce
    vgremove vgrename vgs vgscan
    cryptsetup dmsetup mdadm losetup
    multipath multipathd mpathpersist kpartx
    iscsiadm nvme rbd casadm
    lsscsi rescan-scsi-bus.sh scsi_id systool
    sg_inq sg_luns sg_persist sg_readcap sg_rescan sg_scan sg_turs sg_vpd
    blkid blockdev findmnt lsblk partprobe partx udevadm dmidecode sync
    mount umount mount.glusterfs mount.nfs mount.nfs4 mount.quobyte umount.nfs umount.quobyte
    pstorage pstorage-mount
"""
_NAMES = frozenset(_LISTED.split())

# The locale, and what LVM reads: https://man7.org/linux/man-pages/man8/lvm.8.html
_VARIABLE = re.compile(
    r'LC_[A-Z]+|LANG|LANGUAGE|TZ|LVM_SYSTEM_DIR|LVM_SUPPRESS_\w+|LVM_EXPECTED_EXIT_STATUS'
)
_ASSIGNMENT = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)=(.*)', re.DOTALL)

_ATTRIBUTE = (
    r'/sys/(?:block|bus/(?:ccw|pci|scsi)|class/(?:block|fc_|iscsi_|nvme|scsi_)[\w-]*)/[^\0]+'
)
_HOST_NAMES = r'/etc/(?:iscsi/initiatorname\.iscsi|nvme/host(?:nqn|id))'


def _each(pattern: str) -> Callable[[Sequence[str]], bool]:
    """Whether each argument matches, and none goes up a directory."""
    compiled = re.compile(pattern)

    def is_allowed(words: Sequence[str]) -> bool:
        return all(compiled.fullmatch(word) and '..' not in word.split('/') for word in words)

    return is_allowed


def _is_read(words: Sequence[str]) -> bool:
    """Whether dd writes nowhere."""
    return 'of=/dev/null' in words and _is_dd(words)


_is_dd = _each(r'if=/dev/[^\0]+|of=/dev/null|(?:bs|ibs|count|skip|iflag|status)=[\w,]+')

_OWN_LINK = '/dev/disk/by-id/os-brick'


def _is_own_link(words: Sequence[str]) -> bool:
    """Whether ln makes a link of an encrypted volume to its decrypted device."""
    return len(words) > 1 and words[-1].startswith(_OWN_LINK) and _is_ln(words)


_is_ln = _each(
    r'-[sfnT]+|--symbolic|--force|--no-dereference|--no-target-directory'
    rf'|/dev/mapper/[^/\0]+|{_OWN_LINK}[^/\0]+'
)

# General tools, and whether they may be called with some arguments.
_GENERAL: Mapping[str, Callable[[Sequence[str]], bool]] = {
    'cat': _each(rf'{_ATTRIBUTE}|{_HOST_NAMES}'),
    'dd': _is_read,
    'ln': _is_own_link,
    'tee': _each(rf'-a|--append|{_ATTRIBUTE}'),
}


def search_path() -> str:
    """Root's own ``PATH``, without what depends on the directory that a program runs in."""
    return ':'.join(place for place in os.get_exec_path() if place.startswith('/'))


def environment(variables: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of a caller's program: what it asks for, or root's own, and root's PATH."""
    return {**(os.environ if variables is None else variables), 'PATH': search_path()}


def require(command: Sequence[str], variables: Mapping[str, str] | None) -> None:
    """Refuse to run a command as root unless its program is on the list.

    :param command: the program and its arguments.
    :param variables: the environment that the caller asks for.
    :raises ProcessExecutionError: naming the program, and the option that would allow it.
    """
    why = _why_not(command, variables or {}, cfg.CONF.os_brick.extra_root_programs)
    if why is not None:
        shown = ' '.join(trace.masked(list(command)))
        raise processutils.ProcessExecutionError(cmd=shown, description=why)


def _why_not(
    command: Sequence[str], variables: Iterable[str], extra: Collection[str]
) -> str | None:
    """Why a command is refused; ``None`` if it is not."""
    assigned, words = _looked_through(command)
    wrong = [name for name in (*variables, *assigned) if not _VARIABLE.fullmatch(name)]
    if wrong:
        return (
            f'The environment variable {names.shown(wrong[0])} is not one that os-brick sets for a '
            'program that runs as root'
        )
    if not words:
        return f'{names.shown(" ".join(command))} names no program to run as root'
    program, *arguments = words
    if program in extra or (_is_in_place(program) and os.path.basename(program) in extra):
        return None
    return _why_not_listed(program, arguments)


def _why_not_listed(program: str, arguments: Sequence[str]) -> str | None:
    remedy = (
        '. An operator can allow it with [os_brick] extra_root_programs, in a configuration file '
        'that the root daemon reads'
    )
    name = os.path.basename(program) if _is_in_place(program) else program
    is_allowed = _GENERAL.get(name)
    if is_allowed is not None and not is_allowed(arguments):
        shown = names.shown(' '.join(arguments))
        return f'os-brick does not run {names.shown(program)} as root with {shown}{remedy}'
    if is_allowed is None and name not in _NAMES:
        return f'os-brick does not run the program {names.shown(program)} as root{remedy}'
    return None


def _looked_through(command: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """The variables that ``env`` sets, and the command that it runs.

    With an option (``-S``, ``-C``) nothing is looked through, and ``env`` is not on the list.
    """
    if not command or command[0] not in ('env', '/usr/bin/env', '/bin/env'):
        return [], command
    assigned: list[str] = []
    for index, word in enumerate(command[1:], 1):
        found = _ASSIGNMENT.fullmatch(word)
        if found is None:
            return (assigned, command[index:]) if not word.startswith('-') else ([], command)
        assigned.append(found[1])
    return assigned, []


def _is_in_place(program: str) -> bool:
    """Whether a program is a name, or in one of root's directories under its plain path."""
    place, slash, _name = program.rpartition('/')
    return not slash or place in _PLACES or place in os.get_exec_path()
