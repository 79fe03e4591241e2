# SPDX-License-Identifier: Apache-2.0
"""Reads a fabric's disks: as the kernel shows them, and as they report to be when asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import re

from os_brick import exception
from os_brick.core import fanout, files, glance, wait
from os_brick.doctor import facts
from os_brick.doctor.readers.look import Look
from os_brick.host import block, dm, inquiry, scsi
from os_brick.model import names, vpd

_SESSION = re.compile(r'/session(\d+)/')
_PORT = re.compile(r'/(rport-[\d:]+-\d+)/')
# All disks behind one port are asked in one child process; a healthy one needs a millisecond.
_GROUP_SECONDS = 1.5
# If one of them hangs, each by itself.
_ONE_SECONDS = 0.7
_SHARE_LEFT = 0.5


def disks(usage: block.Usage) -> dict[str, facts.SeenDisk]:
    """The disks over iSCSI and Fibre Channel, by name."""
    every = [name for name in glance.names('/sys/block') if names.SCSI_DISK.why_not(name) is None]
    found = {name: _disk(name, usage) for name in every}
    return {name: disk for name, disk in found.items() if disk is not None}


def _disk(name: str, usage: block.Usage) -> facts.SeenDisk | None:
    place = f'{files.realpath(f"/sys/block/{name}/device")}/'
    session, port = _SESSION.search(place), _PORT.search(place)
    if session is None and port is None:
        return None
    address = scsi.address_of(name)
    if address is None:
        return None
    if session is not None:
        origin = glance.read_or(f'/sys/class/iscsi_session/session{session[1]}/targetname')
    else:
        base = f'/sys/class/fc_remote_ports/{port[1] if port else ""}'
        origin = glance.read_or(f'{base}/port_name').removeprefix('0x')
    holders = tuple(dm.multipaths_over([name]))
    device = f'/sys/block/{name}/device'
    return facts.SeenDisk(
        name,
        str(address),
        facts.ISCSI if session else facts.FC,
        origin,
        int(session[1]) if session else None,
        scsi.state(name),
        block.size_bytes(name),
        scsi.cached_identity(name),
        holders,
        tuple(block.users(name, frozenset(holders), usage)),
        f'{glance.read_or(f"{device}/vendor")}:{glance.read_or(f"{device}/model")}',
        _max_sectors(name),
        block.inode(name),
    )


def _max_sectors(name: str) -> int:
    text = glance.read_or(f'/sys/block/{name}/queue/max_sectors_kb')
    return int(text) if text.isdecimal() else 0


Answers = tuple[dict[str, vpd.UnitIdentity], dict[str, str]]


def ask(look: Look, seen: Mapping[str, facts.SeenDisk]) -> Answers | None:
    """What the disks report to be, and the answers of targets that have nothing at a LUN any more.

    Those behind one port are asked one after the other, ports side by side. A disk to which the
    kernel sends no commands now is not asked: it would hang.
    """
    if not seen:
        return {}, {}
    if not look.is_root:
        look.miss('reported', 'which volume each disk reports to be', facts.NEEDS_ROOT)
        return None
    groups = _groups(look, seen)
    # Before the reader as a whole is given up.
    deadline = look.deadline.leaving(_SHARE_LEFT)
    results, errors = fanout.fanout(lambda key: _ask_group(groups[key], deadline), groups)
    for key, failure in errors.items():
        look.miss('reported', ', '.join(groups[key]), failure)
    return _in_order(look, seen, [results[key] for key in groups if key in results])


def _in_order(
    look: Look, seen: Mapping[str, facts.SeenDisk], every: Iterable[inquiry.Answers]
) -> Answers:
    """The answers of all ports, in the order of the disks: they have come in any."""
    reported: dict[str, vpd.UnitIdentity] = {}
    unmapped: dict[str, str] = {}
    for answers in every:
        reported |= {name: answer.identity for name, answer in answers.reported.items()}
        unmapped |= {name: why.msg for name, why in answers.unmapped.items()}
        _miss(look, answers.unanswered)
    return (
        {name: reported[name] for name in seen if name in reported},
        {name: unmapped[name] for name in seen if name in unmapped},
    )


def _miss(look: Look, unanswered: Mapping[str, Exception]) -> None:
    for name, error in unanswered.items():
        # One that has gone meanwhile is not worth a line.
        if glance.exists(f'/sys/block/{name}'):
            is_late = isinstance(error, exception.OperationTimedOut)
            look.miss('reported', name, 'it does not answer' if is_late else error)


def _groups(look: Look, seen: Mapping[str, facts.SeenDisk]) -> dict[str, list[str]]:
    """The disks that can be asked, by the port they are behind."""
    groups: dict[str, list[str]] = {}
    for disk in seen.values():
        if disk.is_running:
            groups.setdefault(disk.address.rpartition(':')[0], []).append(disk.name)
        else:
            look.miss('reported', disk.name, f'it is not asked: its state is {disk.state}')
    return groups


def _ask_group(group: list[str], deadline: wait.Deadline) -> inquiry.Answers:
    found = inquiry.ask_again(group, deadline.within(_GROUP_SECONDS))
    late = [
        name
        for name, error in found.unanswered.items()
        if isinstance(error, exception.OperationTimedOut)
    ]
    reported, unmapped, unanswered = found.reported, found.unmapped, found.unanswered
    for name in late if len(group) > 1 else ():
        if deadline.passed:
            break
        again = inquiry.ask_all([name], deadline.within(_ONE_SECONDS))
        reported, unmapped = reported | again.reported, unmapped | again.unmapped
        unanswered = {key: why for key, why in unanswered.items() if key != name}
        unanswered |= again.unanswered
    return inquiry.Answers(reported, unmapped, unanswered)
