# SPDX-License-Identifier: Apache-2.0
"""Rules on iSCSI sessions, their records, and iscsid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from os_brick.doctor import facts
from os_brick.doctor.case import INFO, Case, Values

ISCSID_SOCKET = '@ISCSIADM_ABSTRACT_NAMESPACE'
# The kernel's word for a session whose recovery_tmo has passed (Linux, scsi_transport_iscsi.c,
# session_recovery_timedout); a session that is being logged in for the first time has it as well.
_GIVEN_UP = 'FREE'
# Kernel's letters for a process that is stopped, or traced.
_STOPPED = {'T', 't'}


def session_stuck(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A session with disks that has been away for longer than its I/O waits."""
    for session in found.known_sessions.values():
        disks = _disks(found, session)
        never_ends = session.state == 'FAILED' and (session.recovery_tmo or 0) < 0
        if not disks or not (session.state == _GIVEN_UP or never_ends):
            continue
        words = {
            'session': str(session.number),
            'target': session.target,
            'portal': session.portal,
            'state': session.state,
            'disks': ', '.join(disk.name for disk in disks),
        }
        yield Case(f'session {session.number}', words)


def _disks(found: facts.Facts, session: facts.SeenSession) -> list[facts.SeenDisk]:
    return [disk for disk in found.known_disks.values() if disk.session == session.number]


def recovery_tmo(found: facts.Facts, values: Values) -> Iterator[Case]:
    """A session below a multipath map whose I/O waits long before it goes over another path."""
    for session in found.known_sessions.values():
        below = [disk for disk in _disks(found, session) if disk.maps]
        if not below or session.recovery_tmo is None:
            continue
        limit = values.number('seconds', below[0].product)
        if session.recovery_tmo > limit or session.recovery_tmo < 0:
            now = session.recovery_tmo
            words = {
                'session': str(session.number),
                'portal': session.portal,
                'seconds': f'{now} s' if now >= 0 else 'no end',
                'limit': f'{limit:g} s',
            }
            yield Case(f'session {session.number}', words)


def startup_automatic(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A node record by which the host logs in when it boots."""
    for record in found.records or ():
        if record.startup == 'automatic':
            yield _record_case(record, level='' if record.is_ours else INFO)


def scan_auto(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A node record of ours by which the kernel makes a disk of every LUN."""
    for record in found.records or ():
        if record.is_ours and record.scan != 'manual':
            yield _record_case(record)


def _record_case(record: facts.NodeRecord, level: str = '') -> Case:
    words = {'target': record.target, 'path': record.path, 'scan': record.scan or 'auto'}
    return Case(record.path, words, level)


def iscsid_down(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """The daemon iscsid does not listen, or is stopped, where iSCSI is used or installed."""
    if found.processes is None or not (found.sessions or 'iscsiadm' in (found.programs or ())):
        return
    states = found.processes.states.get('iscsid', ())
    if states and set(states) <= _STOPPED:
        yield Case('iscsid', {'state': 'is stopped'}, variant='stopped')
    elif ISCSID_SOCKET not in found.processes.listening and not states:
        yield Case('iscsid', {'state': 'does not run, and nothing listens in its place'})


def name_changed(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A session or a controller under another name than the one in this host's file."""
    # An iface record may have a name of its own.
    sessions = [each for each in found.known_sessions.values() if each.iface in ('', 'default')]
    used = {f'session {each.number}': each.initiator for each in sessions}
    yield from _renamed(used, '/etc/iscsi/initiatorname.iscsi', found.initiator or '')
    used = {each.name: each.host_nqn for each in found.controllers or ()}
    yield from _renamed(used, '/etc/nvme/hostnqn', found.names.host_nqn if found.names else '')


def _renamed(used: Mapping[str, str], file: str, written: str) -> Iterator[Case]:
    """What uses another name than the one that is written in a file; both have to be known."""
    for name, each in used.items():
        if written and each and each != written:
            yield Case(name, {'object': name, 'used': each, 'file': file, 'written': written})
