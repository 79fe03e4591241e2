# SPDX-License-Identifier: Apache-2.0
"""What root does to NVMe controllers, through the kernel's own interfaces.

Connecting is one write to ``/dev/nvme-fabrics``, whose answer names the controller
(drivers/nvme/host/fabrics.c). Each of these may wait for a target, so each runs in a child
process with a limit.
"""

from __future__ import annotations

import errno
import os
import re

from os_brick import exception, privileged
from os_brick.core import descriptors, files, kernel, process, wait
from os_brick.model import names
from os_brick.privileged import check

FABRICS = '/dev/nvme-fabrics'
_CLASS = '/sys/class/nvme-fabrics/ctl'
_KEYRING = '/sys/module/nvme_keyring'
_SUBSYSTEMS = '/sys/class/nvme-subsystem'
_POLICIES = ('numa', 'round-robin', 'queue-depth')
_ANSWER = re.compile(r'instance=([0-9]+),cntlid=([0-9]+)')
_LONGEST_ANSWER = 4096
_MODPROBE_SECONDS = 10.0

# What the kernel shows of a controller that has never been connected (Fibre Channel's come so).
UNKNOWN = ('(efault)', '(null)', '')
UNCONNECTED = '65535'

OPTIONS = frozenset(
    {
        *('transport', 'traddr', 'trsvcid', 'host_traddr', 'host_iface', 'nqn', 'hostnqn'),
        *('hostid', 'queue_size', 'nr_io_queues', 'ctrl_loss_tmo', 'reconnect_delay'),
        *('fast_io_fail_tmo', 'keep_alive_tmo', 'dhchap_secret', 'dhchap_ctrl_secret'),
    }
)


@privileged.entrypoint
def load_fabrics() -> None:
    """Have the kernel's module that connects loaded.

    :raises ProcessExecutionError: if there is none.
    """
    if not files.exists(FABRICS):
        process.run('modprobe', 'nvme-fabrics', timeout=_MODPROBE_SECONDS)


@privileged.entrypoint
def connect(
    options: dict[str, str],
    timeout: float,
    tls: tuple[str, bytes] | None = None,
) -> tuple[str, int, int]:
    """Make a controller; return its name, such as ``nvme3``, its ID at the subsystem, and more.

    The third is the kernel's number of it, the inode of its directory in sysfs, read as long as no
    other one can have its name; 0 if it has gone again. It is asked nothing here: until it is known
    to the caller no one would take it back.

    :param options: by the kernel's own names, which are those of nvme-cli.
    :param tls: identity and value of the key for a connection over TLS. The controller alone
        holds the key: it ends with it, and is in no keyring.
    :raises OperationTimedOut: if the target does not answer in time; the kernel may go on.
    :raises OSError: ``EALREADY`` if there is one with these options; what the kernel reports.
    """
    given = check.settings(options, 'options of a connection')
    text = ','.join(f'{_option(name)}={_value(name, given[name])}' for name in given)
    where = f'the connection to {given.get("nqn")} at {given.get("traddr")}'
    ends = wait.Deadline.after(check.seconds(timeout))
    if tls is None:
        made = process.isolated(where, ends.limit(), _connect, text)
    else:
        # Where the type of the key is known; nvme-tcp has this module loaded.
        if not files.exists(_KEYRING):
            process.run('modprobe', 'nvme-tcp', timeout=ends.limit(_MODPROBE_SECONDS))
        if ends.passed:
            raise exception.OperationTimedOut(what=where, seconds=round(ends.seconds, 1))
        made = process.isolated(where, ends.limit(), _connect_tls, text, *tls)
    if not made[0]:
        raise OSError(errno.EIO, f'{FABRICS} does not name the controller of {where}')
    return made


def _option(name: str) -> str:
    if name not in OPTIONS:
        raise exception.InvalidParameterValue(err=f'{name!r} is not a known option of a connection')
    return name


def _value(name: str, value: object) -> str:
    """One option's value; it may be a secret, which the error does not show."""
    if isinstance(value, str) and names.FABRICS_OPTION.why_not(value) is None:
        return value
    raise exception.InvalidParameterValue(
        err=f'the value of option {name} is not valid: {names.FABRICS_OPTION.hint}'
    )


_Made = tuple[str, int, int]


def _connect_tls(text: str, identity: str, value: bytes) -> _Made:
    with kernel.key('psk', identity, value) as number:
        return _connect(f'{text},tls,tls_key={number}')


def _connect(text: str) -> _Made:
    """What the kernel has made: its name, empty if it does not say, its ID and its number."""
    # As long as the descriptor is open it holds the controller, even one that is gone, and no other
    # one gets its name (Linux, drivers/nvme/host/fabrics.c, nvmf_dev_release).
    with kernel.device(FABRICS, os.O_RDWR) as descriptor:
        descriptors.write(descriptor, text.encode())
        answer = descriptors.read(descriptor, _LONGEST_ANSWER).decode('ascii', 'replace')
        match = _ANSWER.search(answer)
        if match is None:
            return '', 0, 0
        name = f'nvme{int(match[1])}'
        return name, int(match[2]), files.inode(f'{_CLASS}/{name}')


@privileged.entrypoint
def delete(controller: str, nqn: str, cntlid: str, number: int, timeout: float) -> None:
    """Take a controller down, if it is still the one that is meant.

    Names are given again, and IDs by the subsystem: the number of the directory tells it from a
    later one. The directory that was looked at is the one that is written to.

    :param number: the inode of its directory in sysfs.

    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: ``ENOENT`` if it has gone, or is another one by now.
    """
    path = f'{_CLASS}/{_controller(controller)}'
    what = f'the removal of controller {controller}'
    limit = check.seconds(timeout)
    inode = check.number(number, 2**64 - 1, 'number of a device')
    process.isolated(what, limit, _delete, path, check.nqn(nqn), str(cntlid), inode)


def _delete(path: str, nqn: str, cntlid: str, number: int) -> None:
    directory = files.descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        subsystem = files.read_in(directory, 'subsysnqn').strip()
        is_meant = subsystem == nqn or (subsystem in UNKNOWN and cntlid == UNCONNECTED)
        is_meant = is_meant and os.fstat(directory).st_ino == number
        if not is_meant or files.read_in(directory, 'cntlid').strip() != cntlid:
            raise OSError(errno.ENOENT, f'{path} is another controller by now')
        files.write_in(directory, 'delete_controller', '1')
    finally:
        os.close(directory)


@privileged.entrypoint
def rescan(controller: str, timeout: float) -> None:
    """Have the kernel ask a controller which namespaces it has, and who they are.

    :raises OSError: if the controller has gone.
    """
    path = f'{_CLASS}/{_controller(controller)}/rescan_controller'
    process.isolated(f'the rescan of {controller}', check.seconds(timeout), files.write, path, '1')


@privileged.entrypoint
def set_loss_timeout(controller: str, seconds: int) -> None:
    """Choose how long the kernel tries to reach a lost controller; -1 for ever.

    :raises OSError: if the controller has gone.
    """
    limit = -1 if seconds == -1 else check.number(seconds, 2**31 - 1, 'time limit in seconds')
    files.write(f'{_CLASS}/{_controller(controller)}/ctrl_loss_tmo', str(limit))


@privileged.entrypoint
def set_io_policy(subsystem: str, policy: str) -> None:
    """Choose how the kernel spreads I/O over the paths of a subsystem's namespaces.

    :raises OSError: if the kernel does not have it.
    """
    check.full(names.NVME_SUBSYSTEM, subsystem)
    if policy not in _POLICIES:
        raise exception.InvalidParameterValue(
            err=f'{names.shown(policy)} is not a known I/O policy'
        )
    files.write(f'{_SUBSYSTEMS}/{subsystem}/iopolicy', policy)


def _controller(name: object) -> str:
    return check.full(names.NVME_CONTROLLER, name)
