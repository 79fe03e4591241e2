# SPDX-License-Identifier: Apache-2.0
"""The capabilities that programs of the root daemon can have at all.

The daemon gives up all but a few of its own. That does not hold for what it starts: a program that
user root starts gets every capability of its bounding set (capabilities(7)). So the daemon takes
out of that set, once and for all its children, what no tool of storage needs.

It has to be done before oslo.privsep gives up CAP_SETPCAP, and in no other process that imports
this package: ``privsep-helper`` imports it with a command line that names our context.

``no_new_privs`` is not set. With it a program gets no more than the capabilities of the daemon,
and SELinux does not let it change to a domain of its own: mount.nfs could not bind to a port below
1024, LVM could not write below an ``LVM_SYSTEM_DIR`` that the service owns, and both would run in
the domain of the service. setpriv(1) could add it without that loss of capabilities, for 1.5 ms a
program; but user root gets no more than the set below at any exec, with or without it.
"""

from __future__ import annotations

from collections.abc import Iterable
import os

from oslo_log import log as logging
from oslo_privsep import capabilities as c

LOG = logging.getLogger(__name__)

_PR_CAPBSET_DROP = 24  # linux/prctl.h
_LAST = '/proc/sys/kernel/cap_last_cap'
_STATUS = '/proc/self/status'

# What the tools of storage, the helpers of mount and the daemons that they start have a use for.
KEPT = frozenset(
    {
        # Files and device nodes that they make, and files of services that they read and write.
        *(c.CAP_CHOWN, c.CAP_DAC_OVERRIDE, c.CAP_DAC_READ_SEARCH, c.CAP_FOWNER, c.CAP_FSETID),
        c.CAP_MKNOD,
        # Mounts, device-mapper, md, NVMe; SCSI commands that the kernel does not filter.
        *(c.CAP_SYS_ADMIN, c.CAP_SYS_RAWIO),
        # The sockets of iSCSI, and the ports that NFS servers ask for.
        *(c.CAP_NET_ADMIN, c.CAP_NET_BIND_SERVICE),
        # LVM, cryptsetup, iscsid and dmeventd lock their memory and raise their priority.
        *(c.CAP_IPC_LOCK, c.CAP_SYS_NICE, c.CAP_SYS_RESOURCE),
        # lvm, rbd and mount call modprobe.
        c.CAP_SYS_MODULE,
        # rpc.statd and others change their user; tools end their helpers.
        *(c.CAP_SETGID, c.CAP_SETUID, c.CAP_KILL),
        # In a container, a tool is often a script that enters the host by chroot or nsenter.
        *(c.CAP_SYS_CHROOT, c.CAP_SYS_PTRACE),
    }
)


def reduce(also: Iterable[int]) -> None:
    """Take out of the bounding set of this process what none of its programs needs.

    :param also: what stays besides :data:`KEPT`: what an operator has configured for the daemon.
    """
    kept = KEPT | set(also)
    try:
        for number in range(_last() + 1):
            if number not in kept:
                _drop(number)
    except OSError as error:
        # In a container that has not all capabilities, a process of root may not change the set.
        LOG.info(
            'The privileged daemon cannot drop capabilities of the programs it starts: %s', error
        )


def allows(capability: int) -> bool:
    """Whether a process of root can have a capability here: containers often withhold some.

    ``False`` also if that cannot be told.
    """
    try:
        with open(_STATUS) as file:
            found = [line.split()[1] for line in file if line.startswith('CapBnd:')]
    except OSError:
        return False
    return bool(found) and bool(int(found[0], 16) >> capability & 1)


def _last() -> int:
    """The highest capability that the kernel has."""
    with open(_LAST) as file:
        return int(file.read())


def _drop(number: int) -> None:
    """Take a capability out of the bounding set.

    :raises OSError: without CAP_SETPCAP.
    """
    import ctypes  # Costs a service nothing: only the daemon gets here.

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), *([ctypes.c_ulong(0)] * 3)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
