# SPDX-License-Identifier: Apache-2.0
"""Reads iSCSI sessions from the kernel, and open-iscsi's records."""

from __future__ import annotations

from collections.abc import Iterator
import re

from os_brick.core import files, glance
from os_brick.doctor import facts
from os_brick.model import host_files, iscsi_record

_SESSIONS = '/sys/class/iscsi_session'
_HOMES = ('/etc/iscsi', '/var/lib/iscsi')
INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
_LARGEST_RECORD_BYTES = 128 << 10
# open-iscsi's default is 8; attaches of this library write this one.
_OUR_RETRIES = '1'
# The targets that Cinder's drivers of LIO and tgt make.
_CINDER = re.compile(r'volume-[0-9a-f]{8}-[0-9a-f]{4}-')


def sessions() -> dict[int, facts.SeenSession]:
    """The sessions that the kernel has, by number."""
    found = {}
    for name in glance.names(_SESSIONS):
        number = name.removeprefix('session')
        if number.isdecimal():
            found[int(number)] = _session(int(number))
    return found


def _session(number: int) -> facts.SeenSession:
    base = f'{_SESSIONS}/session{number}'
    connection = f'/sys/class/iscsi_connection/connection{number}:0'
    recovery = glance.read_or(f'{base}/recovery_tmo')
    address = glance.read_or(f'{connection}/persistent_address')
    port = glance.read_or(f'{connection}/persistent_port')
    return facts.SeenSession(
        number,
        glance.read_or(f'{base}/targetname'),
        f'[{address}]:{port}' if ':' in address else f'{address}:{port}',
        glance.read_or(f'{base}/state'),
        int(recovery) if recovery.removeprefix('-').isdecimal() else None,
        _known(glance.read_or(f'{base}/initiatorname')),
        _known(glance.read_or(f'{base}/ifacename')),
    )


def _known(text: str) -> str:
    return '' if text in ('<NULL>', '(null)') else text


def initiator() -> str:
    """The iSCSI name in this host's file; empty if there is none."""
    try:
        return host_files.initiator_name(files.read_regular(INITIATOR_NAME, _LARGEST_RECORD_BYTES))
    except FileNotFoundError:
        return ''


def records() -> tuple[facts.NodeRecord, ...]:
    """The node records of open-iscsi.

    :raises OSError: if one cannot be read.
    """
    return tuple(_record(target, path) for target, path in _paths())


def _paths() -> Iterator[tuple[str, str]]:
    for home in _HOMES:
        for target in glance.names(f'{home}/nodes'):
            for name in glance.names(f'{home}/nodes/{target}'):
                place = f'{home}/nodes/{target}/{name}'
                if not glance.is_directory(place):
                    yield target, place
                for iface in glance.names(place):
                    yield target, f'{place}/{iface}'


def _record(target: str, path: str) -> facts.NodeRecord:
    text = iscsi_record.decoded(files.read_regular(path, _LARGEST_RECORD_BYTES))
    scan = iscsi_record.value(text, 'node.session.scan')
    retries = iscsi_record.value(text, 'node.session.initial_login_retry_max')
    is_ours = retries == _OUR_RETRIES or scan == 'manual' or bool(_CINDER.search(target))
    startup = iscsi_record.value(text, 'node.startup')
    return facts.NodeRecord(path, target, startup, scan, is_ours)
