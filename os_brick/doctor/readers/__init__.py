# SPDX-License-Identifier: Apache-2.0
"""The readers: what is effective on this host, into :class:`facts.Facts`; nothing is changed.

No program is started. A reader that fails costs its own facts and a line.
"""

from __future__ import annotations

from collections.abc import Iterable

from os_brick.core import wait
from os_brick.doctor import facts
from os_brick.doctor.readers import host, iscsi, maps, notes, scsi, services
from os_brick.doctor.readers.look import Look
from os_brick.host import block

# The processes of so many devices at most are looked for one by one.
_MOST_SUSPECTS = 64


def read(deadline: wait.Deadline, *, is_root: bool) -> facts.Facts:
    """All that the rules go by."""
    look = Look(deadline, is_root)
    what = 'what is mounted, swap space and loop devices'
    known = look.guarded('disks', what, block.usage)
    usage = known or block.Usage({}, set(), {})
    disks = look.guarded('disks', 'the disks of fabrics', scsi.disks, usage)
    seen = look.guarded('maps', 'the multipath maps', maps.maps, usage)
    names = [*(disks or ()), *(seen or ())]
    programs = look.guarded('programs', 'the programs of storage', host.programs)
    status = look.guarded('map_status', 'what the kernel reports of maps', maps.status, look, seen)
    asked = look.guarded('reported', 'what disks report to be', scsi.ask, look, disks or {})
    reported, unmapped = asked or (None, {})
    running = look.guarded('services', 'the services', services.services, look)
    found = facts.Facts(
        disks=disks,
        reported=reported,
        unmapped=unmapped,
        maps=seen,
        map_status=status,
        sessions=look.guarded('sessions', 'the iSCSI sessions', iscsi.sessions),
        records=_records(look),
        initiator=look.guarded('initiator', iscsi.INITIATOR_NAME, iscsi.initiator),
        controllers=look.guarded('controllers', 'the NVMe controllers', host.controllers),
        nvme_multipath=look.guarded('nvme_multipath', 'nvme_core', host.nvme_multipath),
        names=look.guarded('names', "this host's NVMe names", host.host_names),
        volumes=look.guarded('volumes', 'the logical volumes', maps.logical_volumes, names),
        multipathd=look.guarded('multipathd', 'multipathd', maps.daemon, look),
        processes=look.guarded('processes', 'the processes of the host', host.processes),
        view=look.guarded('view', 'the devices of the host', host.view),
        services=running,
        modules=look.guarded('modules', 'the kernel modules', host.modules, programs or ()),
        programs=programs,
        notes=look.guarded('notes', 'the notes of attaches', notes.notes, look, running or ()),
    )
    # Without what is mounted no disk can be told to have no user.
    return _with_openers(look, found if known else facts.replace(found, notes=None))


def _records(look: Look) -> tuple[facts.NodeRecord, ...] | None:
    what = 'the node records of open-iscsi'
    if not look.is_root:
        look.miss('records', what, facts.NEEDS_ROOT)
        return None
    return look.guarded('records', what, iscsi.records)


def _with_openers(look: Look, found: facts.Facts) -> facts.Facts:
    """The facts with the processes that have devices open of which that matters."""
    suspects = list(_suspects(found))
    what = 'which processes have devices open'
    openers: dict[str, tuple[str, ...]] | None = {}
    if suspects and not look.is_root:
        look.miss('openers', what, facts.NEEDS_ROOT)
        openers = None
    elif suspects:
        openers = look.guarded('openers', what, _openers, look, suspects)
    return facts.replace(found, openers=openers, unread=tuple(look.unread))


def _suspects(found: facts.Facts) -> Iterable[str]:
    """The devices without another known user, and those that are wrong."""
    for disk in found.known_disks.values():
        if not disk.maps and not disk.users:
            yield disk.name
    for name, each in found.known_maps.items():
        if not each.members or any(_is_wrong(found, disk, each.wwid) for disk in each.members):
            yield name


def _is_wrong(found: facts.Facts, disk: str, wwid: str) -> bool:
    reported = found.known_reported.get(disk)
    return disk in found.unmapped or (reported is not None and reported.contradicts(wwid))


def _openers(look: Look, suspects: list[str]) -> dict[str, tuple[str, ...]]:
    if not block.openers(*suspects):
        return dict.fromkeys(suspects, ())
    found: dict[str, tuple[str, ...]] = {}
    for name in suspects[:_MOST_SUSPECTS]:
        if look.deadline.passed:
            break
        found[name] = tuple(block.openers(name))
    for name in suspects[len(found) :]:
        # Any of them may be open: so it is not an orphan, and no more is claimed.
        found[name] = ('a process',)
        look.miss('openers', name, 'there are too many devices to be asked one by one')
    return found
