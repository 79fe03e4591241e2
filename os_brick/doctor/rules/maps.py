# SPDX-License-Identifier: Apache-2.0
"""Rules on multipath maps, and on multipathd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from os_brick.doctor import facts
from os_brick.doctor.case import FAIL, INFO, Case, Values


def ghost_map(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map without a path that is not open."""
    for seen, status in _without_paths(found):
        if status is not None and not status.open_count and not seen.users:
            words = {'map': seen.name, 'alias': seen.alias, 'wwid': seen.wwid}
            yield Case(seen.name, words)


def ghost_map_open(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map without a path that is open, or used by another device."""
    for seen, status in _without_paths(found):
        if seen.users or (status is not None and status.open_count):
            openers = found.known_openers.get(seen.name, ())
            users = ', '.join((*seen.users, *openers)) or 'a process that could not be seen'
            queues = 'wait until it has a path' if status and status.queues else 'fail'
            words = {'map': seen.name, 'alias': seen.alias, 'wwid': seen.wwid}
            words |= {'users': users, 'queues': queues}
            yield Case(seen.name, words)


def _without_paths(
    found: facts.Facts,
) -> Iterator[tuple[facts.SeenMap, facts.MapStatus | None]]:
    for seen in found.known_maps.values():
        if not seen.members:
            yield seen, found.known_map_status.get(seen.name)


def map_degraded(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map with fewer working paths than disks, or than sessions to its targets."""
    if found.disks is None or found.maps is None:
        return
    for seen in found.maps.values():
        members = [found.disks[name] for name in seen.members if name in found.disks]
        if not members:
            continue
        lacking = _sessions_without(found, members)
        active = _active(found, seen, members)
        expected = len(members) + len(lacking)
        if active < expected:
            yield _degraded(seen, members, lacking, (active, expected))


def _degraded(
    seen: facts.SeenMap,
    members: list[facts.SeenDisk],
    lacking: list[facts.SeenSession],
    count: tuple[int, int],
) -> Case:
    details = [f'{disk.name} is {disk.state}' for disk in members if not disk.is_running]
    details += [f'session {each.number} to {each.portal} has no disk of it' for each in lacking]
    active, expected = count
    words = {
        'map': seen.name,
        'active': str(active),
        'expected': str(expected),
        'details': '; '.join(details) or 'multipathd has failed the others',
    }
    return Case(seen.name, words, level='' if active else FAIL)


def _active(found: facts.Facts, seen: facts.SeenMap, members: list[facts.SeenDisk]) -> int:
    status = found.known_map_status.get(seen.name)
    running = sum(disk.is_running for disk in members)
    return running if status is None else min(running, status.active_paths)


def _sessions_without(found: facts.Facts, members: list[facts.SeenDisk]) -> list[facts.SeenSession]:
    """The sessions to the targets of a map that carry none of its disks."""
    targets = {disk.origin for disk in members if disk.transport == facts.ISCSI}
    used = {disk.session for disk in members}
    sessions = found.known_sessions.values()
    logged_in = [each for each in sessions if each.state == 'LOGGED_IN']
    return [each for each in logged_in if each.target in targets and each.number not in used]


def map_suspended(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map that is suspended, and stays so."""
    for seen in found.known_maps.values():
        if seen.is_suspended:
            words = {'map': seen.name, 'alias': seen.alias, 'wwid': seen.wwid}
            yield Case(seen.name, words)


def multipathd_down(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """The daemon multipathd does not run where maps are, or are wanted."""
    if found.multipathd is None or found.multipathd.state != 'down':
        return
    wanted = [each.name for each in found.known_services if each.wants_multipath]
    if found.maps or wanted:
        need = ', '.join([*found.known_maps, *wanted])
        yield Case('multipathd', {'need': f'needed by {need}'})
    elif 'multipathd' in (found.programs or ()):
        yield Case('multipathd', {'need': 'installed, and not needed yet'}, level=INFO)


def multipathd_mute(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """The daemon multipathd runs and does not answer."""
    if found.multipathd is not None and found.multipathd.state == 'mute':
        yield Case('multipathd', {'why': found.multipathd.why})


def mpath_queue_forever(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map whose I/O waits for ever if it has no path."""
    for seen in found.known_maps.values():
        status = found.known_map_status.get(seen.name)
        queueing = found.multipathd.queueing.get(seen.wwid) if found.multipathd else None
        queues = status is not None and status.queues
        if queueing == 'on':
            yield Case(seen.name, {'map': seen.name, 'reason': 'no_path_retry is "queue"'})
        elif queues and not (queueing or '')[:1].isdigit():
            # With a count (5 chk, 25 sec) multipathd takes it out of the table after that.
            reason = 'queue_if_no_path is in its table, and multipathd does not count down'
            yield Case(seen.name, {'map': seen.name, 'reason': reason})


def mpath_blacklisted(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A disk that multipathd leaves out where multipath is wanted."""
    daemon = found.multipathd
    if daemon is None or daemon.state != 'running':
        return
    # An attach that goes on has disks that multipathd has not looked at yet.
    is_changing = any(note.is_working for note in found.known_notes)
    for disk in _of_several_paths(found):
        by_name = disk.name in daemon.excluded
        if _is_left_out(disk, daemon) and (by_name or not is_changing):
            rule = 'its name is on the blacklist' if by_name else 'a rule of its blacklist'
            words = {'disk': disk.name, 'product': disk.product, 'rule': rule}
            yield Case(disk.name, words)


def _is_left_out(disk: facts.SeenDisk, daemon: facts.Multipathd) -> bool:
    return disk.is_usable and not disk.maps and disk.name not in daemon.known


def _of_several_paths(found: facts.Facts) -> list[facts.SeenDisk]:
    """The disks that multipath is wanted for: all, or those of which a volume has several."""
    disks = list(found.known_disks.values())
    if any(each.wants_multipath for each in found.known_services):
        return disks
    counts = Counter(disk.known.wwid for disk in disks if disk.known.wwid)
    return [disk for disk in disks if counts[disk.known.wwid] > 1]
