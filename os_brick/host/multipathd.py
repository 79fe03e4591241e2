# SPDX-License-Identifier: Apache-2.0
"""What multipathd is asked and told: which disks it knows, which it is to take and to forget.

And the file of WWIDs, by which it knows which disks it is to take.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
import errno
import re
from typing import ParamSpec, TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import bound, wait
from os_brick.host import dm, scsi
from os_brick.privileged import multipathd as root_multipathd
from os_brick.privileged import wwids

LOG = logging.getLogger(__name__)

# Why there is no answer: it does not run, or does not answer; the privileged daemon is busy.
NO_ANSWER = (OSError, exception.OperationTimedOut)
# multipathd answers `timeout` by itself after 4 s of waiting for its own lock (uxsock_timeout).
ANSWER_SECONDS = 5.0
# What it answers to a question that it has not come to; to one about what it does not have it is
# the first one.
_FAIL, _TIMEOUT = 'fail', 'timeout'
# In what it answers to a question that it does not understand: its list of those that it does.
_HELP = 'CLI commands'
FORGET_SECONDS = 5.0
_WWIDS_SECONDS = 5.0
_EXCLUDED = re.compile(r'^\s*(\S+) devnode blacklisted', re.MULTILINE)

P = ParamSpec('P')
T = TypeVar('T')


class NoAnswer(exception.BrickException):
    """multipathd runs, and does not report what it knows."""

    message = 'multipathd does not answer: %(why)s'


def is_running() -> bool:
    """Whether multipathd answers."""
    try:
        return bool(root_multipathd.daemon_status(ANSWER_SECONDS))
    except NO_ANSWER:
        return False


def known_disks(seconds: float = ANSWER_SECONDS) -> dict[str, str] | None:
    """The disks that multipathd knows, with their WWIDs; ``None`` if it does not run.

    :raises NoAnswer: if it runs and does not answer in time: it may know any disk.
    """
    text = _answer(root_multipathd.paths, seconds)
    if text is None:
        return None
    # A disk whose WWID it could not read has none there: two blanks follow its name.
    return {words[0]: words[1] for line in text.splitlines() if len(words := line.split(' ')) > 1}


def known_of(disks: Collection[str], seconds: float = ANSWER_SECONDS) -> set[str]:
    """Those of some disks that multipathd knows; none if it does not run.

    It is asked about them alone: it lists all disks of a host with its lock held, which its checks
    of paths wait for.

    :raises NoAnswer: if it runs and does not answer in time: it may know any of them.
    """
    return _known(disks, _asked(root_multipathd.path_states, tuple(disks), seconds) or (), seconds)


def _known(disks: Collection[str], answers: Collection[str], seconds: float) -> set[str]:
    """Those of some disks that multipathd knows by what it has answered about each."""
    if any(each.startswith(_TIMEOUT) for each in answers):
        raise NoAnswer(why=_TIMEOUT)
    known = {disk for disk, each in zip(disks, answers, strict=False) if not each.startswith(_FAIL)}
    if any(_HELP in each for each in answers):
        return known & set(known_disks(seconds) or {})
    return known


def wwid_of(disk: str) -> str:
    """The WWID that multipathd has for a disk; empty if it knows none, or does not answer."""
    try:
        return (known_disks() or {}).get(disk, '')
    except NoAnswer:
        return ''


def status(seconds: float = ANSWER_SECONDS) -> str | None:
    """What multipathd reports of itself, such as ``pid 42 idle``; ``None`` if it does not run.

    :raises NoAnswer: if it runs and does not answer in time.
    """
    return _answer(root_multipathd.daemon_status, seconds)


def queueing(seconds: float = ANSWER_SECONDS) -> dict[str, str]:
    """What multipathd does with the I/O of each map without a path: ``on``, ``off``, ``5 chk``.

    ``on`` is for ever (multipath-tools, ``snprint_queueing``). By WWID.

    :raises NoAnswer: if it runs and does not answer in time.
    """
    lines = (_answer(root_multipathd.maps_as, '%w|%Q', seconds) or '').splitlines()
    pairs = (line.partition('|') for line in lines if '|' in line)
    return {wwid.strip(): text.strip() for wwid, _, text in pairs}


def excluded(seconds: float = ANSWER_SECONDS) -> frozenset[str]:
    """The block devices whose names are on multipathd's blacklist.

    :raises NoAnswer: if it runs and does not answer in time.
    """
    return frozenset(_EXCLUDED.findall(_answer(root_multipathd.devices, seconds) or ''))


def _answer(ask: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> str | None:
    """What multipathd answers; ``None`` if it does not run.

    :raises NoAnswer: if it runs and does not answer in time.
    """
    text = _asked(ask, *args, **kwargs)
    if text is not None and text.startswith((_FAIL, _TIMEOUT)):
        raise NoAnswer(why=text)
    return text


def _asked(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What a root function returns of multipathd; ``None`` if it does not run.

    :raises NoAnswer: if it runs and does not answer in time.
    """
    try:
        return ask(*args, **kwargs)
    except OSError as error:
        # No process listens at its socket, which has no file that could be a leftover.
        if error.errno == errno.ECONNREFUSED:
            return None
        raise NoAnswer(why=str(error)) from error
    except exception.OperationTimedOut as error:
        raise NoAnswer(why=str(error)) from error


def await_idle(seconds: float = ANSWER_SECONDS) -> None:
    """Wait until multipathd is done with what it is at, which it answers after; or not at all."""
    try:
        known_disks(seconds)
    except NoAnswer as error:
        LOG.warning('%s; it may still be building maps', error)


def ask_to_add(disk: str, seconds: float = ANSWER_SECONDS) -> str:
    """Offer a disk to multipathd; return its answer, or why there is none."""
    return _told(root_multipathd.add_path, disk, seconds)


def ask_for_map(wwid: str) -> str:
    """Ask multipathd to map the disks of a WWID; return its answer, or why there is none."""
    return _told(root_multipathd.add_map, wwid, ANSWER_SECONDS)


def ask_to_forget(disk: str) -> str:
    """Have multipathd forget a disk; return its answer, or why there is none."""
    return _told(root_multipathd.remove_path, disk, ANSWER_SECONDS)


def _told(tell: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> str:
    """What multipathd answers, or why there is no answer."""
    try:
        return tell(*args, **kwargs)
    except NO_ANSWER as error:
        return str(error)


def forget_disks(devices: Mapping[str, int], seconds: float = ANSWER_SECONDS) -> bool:
    """Have multipathd forget disks that are about to go, so that it cannot hold on to them.

    Where it does not run there is nothing to be forgotten.

    :param devices: the number (:func:`scsi.number_of`) of each disk by its name, which may be
        another disk's by now; 0 of one that has gone.
    :param seconds: how long its answer is waited for; without one it learns of it from the kernel.
    :return: whether it has answered, or does not run.
    """
    if not devices:
        return True
    try:
        root_multipathd.remove_paths(tuple(devices.items()), seconds)
    except NO_ANSWER as error:
        LOG.debug('multipathd is not asked to forget disks: %s', error)
        return isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
    return True


def wait_forgotten(
    disks: Collection[str], deadline: wait.Deadline, seen: tuple[str, ...] | None = None
) -> None:
    """Wait until multipathd has dropped the disks: it would confuse them with the next ones.

    One that does not answer is waited for as long, and no error: the disks have gone for the
    kernel, whose messages about that are the first thing that it reads when it goes on. An error
    would leave the session and the WWID of a volume that is not here any more.

    :param seen: what it has just answered about each of the disks, if it was asked.
    :raises MultipathdPathsNotRemoved: if it says that it has not.
    """
    left: list[str] = []
    why = ''

    def is_forgotten() -> bool:
        nonlocal why, seen
        try:
            known = known_of(disks) if seen is None else _known(disks, seen, ANSWER_SECONDS)
        except NoAnswer as error:
            why = str(error)
            return False
        finally:
            seen = None  # It is asked from now on.
        why = ''
        # A new disk may have the name by now; that one multipathd is to keep.
        left[:] = [disk for disk in disks if disk in known and not scsi.number_of(disk)]
        forget_disks(dict.fromkeys(left, 0))
        return not left

    unanswered = deadline.within(FORGET_SECONDS)

    def is_over() -> bool:
        return is_forgotten() or (bool(why) and unanswered.passed)

    wait.holds(is_over, deadline.patience(FORGET_SECONDS))
    if why:
        LOG.warning(
            'It is not known whether multipathd has forgotten %s: %s', ', '.join(disks), why
        )
    elif left:
        raise exception.MultipathdPathsNotRemoved(devices=left)


def show_paths(layout: str) -> str:
    """The paths of multipathd, a line each in its own format; empty if it does not run."""
    try:
        return root_multipathd.paths_as(layout, ANSWER_SECONDS)
    except NO_ANSWER:
        return ''


def reconfigure() -> str:
    """Have multipathd read its configuration anew, for every map; return its answer.

    For callers outside only: a volume's own map is all that our own code touches.
    """
    return root_multipathd.reconfigure(ANSWER_SECONDS)


def remember(wwid: str) -> bool:
    """Have multipathd take a volume's disks even while there is one; returns whether it is new.

    Where the file cannot be written, or is not the one that multipathd reads, multipathd is asked
    for the map by its WWID (:func:`ask_for_map`).
    """
    try:
        return wwids.add(wwid, _wwids_seconds())
    except exception.BrickException as error:
        LOG.warning('%s. multipathd is asked for the map by its WWID', error)
        return False


def forget(wwid: str) -> None:
    """Have multipath treat the disks of a volume as unknown again."""
    wwids.remove(wwid, _wwids_seconds())


def _wwids_seconds() -> float:
    """How long other programs may keep the file of WWIDs locked."""
    return bound.share(wait.PATIENCE_SHARE, _WWIDS_SECONDS)


def forget_unmapped(wwid: str) -> None:
    """The same of a volume that has no map on this host any more."""
    if dm.multipath_of(wwid) is None:
        forget(wwid)
