# SPDX-License-Identifier: Apache-2.0
"""What root asks of open-iscsi's ``iscsiadm``. No secret is ever on its command line.

Exit codes are those of open-iscsi's ``iscsi_err.h``; which of them are errors is the caller's
decision, so they are returned with what the program printed.
"""

from __future__ import annotations

from os_brick import privileged
from os_brick.core import process
from os_brick.privileged import check

# Database operations wait for its lock, up to 30 s by open-iscsi's own limit.
DATABASE_SECONDS = 40.0
# A login to a healthy target takes milliseconds; open-iscsi itself gives one try 15 s.
LOGIN_SECONDS = 30.0
LOGIN = '--login'


def _portal(address: str, port: int) -> str:
    name = check.address(address)
    return f'[{name}]:{check.port(port)}' if ':' in name else f'{name}:{check.port(port)}'


def _iscsiadm(*words: str, timeout: float) -> tuple[int, str, str]:
    result = process.run('iscsiadm', *words, ok=None, timeout=timeout)
    return result.exit_code, result.stdout, result.stderr.strip()


def _node(target: str, address: str, port: int, iface: str) -> tuple[str, ...]:
    portal = _portal(address, port)
    return '-m', 'node', '-T', check.target(target), '-p', portal, '-I', check.iface(iface)


def make_node(
    target: str, address: str, port: int, iface: str, timeout: float
) -> tuple[int, str, str]:
    """Make a node record with the defaults of ``iscsid.conf``; overwrites one that is there."""
    words = _node(target, address, port, iface)
    return _iscsiadm(*words, '--op', 'new', timeout=timeout)


def login(target: str, address: str, port: int, iface: str, timeout: float) -> tuple[int, str, str]:
    """Log in as the node record says; logs in nothing that is logged in already."""
    words = _node(target, address, port, iface)
    return _iscsiadm(*words, LOGIN, timeout=timeout)


@privileged.entrypoint
def logout(session: int, timeout: float) -> tuple[int, str, str]:
    """Log out one session, known by the kernel's number; needs no record."""
    number = str(check.number(session, 2**31, 'iSCSI session'))
    return _iscsiadm('-m', 'session', '-r', number, '--logout', timeout=check.seconds(timeout))


@privileged.entrypoint
def discover(address: str, port: int, iface: str, timeout: float) -> tuple[int, str, str]:
    """Ask a portal for its targets (SendTargets), and write nothing down.

    An ordinary discovery overwrites the node records of all the targets it finds.
    """
    portal = _portal(address, port)
    words = '-m', 'discovery', '-t', 'sendtargets', '-I', check.iface(iface), '-p', portal
    return _iscsiadm(*words, '--op', 'nonpersistent', timeout=check.seconds(timeout))


def make_discovery(address: str, port: int, iface: str, timeout: float) -> tuple[int, str, str]:
    """Make a record for discoveries at a portal with the defaults of ``iscsid.conf``."""
    portal = _portal(address, port)
    words = '-m', 'discoverydb', '-t', 'sendtargets', '-p', portal, '-I', check.iface(iface)
    return _iscsiadm(*words, '--op', 'new', timeout=timeout)


def discover_recorded(address: str, port: int, iface: str, timeout: float) -> tuple[int, str, str]:
    """Ask a portal for its targets as its discovery record says, and write nothing down."""
    portal = _portal(address, port)
    words = '-m', 'discoverydb', '-t', 'sendtargets', '-p', portal, '-I', check.iface(iface)
    return _iscsiadm(*words, '--op', 'nonpersistent', '--discover', timeout=check.seconds(timeout))


@privileged.limited(DATABASE_SECONDS)
def show_iface(iface: str) -> tuple[int, str, str]:
    """An iface record as text, a line ``name = value`` each."""
    words = '-m', 'iface', '-I', check.iface(iface)
    return _iscsiadm(*words, timeout=DATABASE_SECONDS)
