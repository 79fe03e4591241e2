# SPDX-License-Identifier: Apache-2.0
"""Whether a device is blank, so that it may be formatted.

That no tool recognises anything proves nothing, and neither does an error. A device is blank if
its two ends read as zeros, past every cache, at two moments apart, and no probe knows of anything.
"""

from __future__ import annotations

from collections.abc import Collection
import dataclasses

from oslo_concurrency import processutils

from os_brick import exception
from os_brick.core import clock, wait
from os_brick.host import block
from os_brick.privileged import blkid
from os_brick.privileged import luks_format as root

# A path that comes back, or a table that is replaced, shows within a second. More than that: what
# lies between the two looks is the making of the header, which takes two seconds by itself.
APART_SECONDS = 1.0
READ_SECONDS = 60.0

Areas = Collection[tuple[int, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a device has to be.

    :ivar blank: whether it has to read as zeros, or only has to be without what a probe knows.
    :ivar besides: what does not count: sectors of a header that was being written.
    :ivar uuid: the UUID of that header; empty if there was none.
    """

    blank: bool
    besides: Areas = ()
    uuid: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One look at a device that was as it has to be.

    :ivar at: when, on :func:`clock.monotonic`.
    :ivar digest: of all that was read.
    """

    at: float
    digest: str


def require(device: str, wanted: Wanted, deadline: wait.Deadline) -> Look:
    """Have a device be as it has to be now.

    :raises NotLUKS: saying what is on it, or why it cannot be read.
    """
    number, limit = block.inode(device), deadline.limit(READ_SECONDS)
    try:
        found, known, digest = root.look(device, number, tuple(wanted.besides), limit)
        probed = blkid.probe(device, deadline.limit(READ_SECONDS))
    except (OSError, exception.OperationTimedOut, processutils.ProcessExecutionError) as error:
        raise exception.NotLUKS(
            device=f'/dev/{device}', why=f'whether it is blank cannot be read: {error}'
        ) from error
    _require_unknown(device, wanted, probed)
    refuse(device, wanted, found, known)
    return Look(clock.monotonic(), digest)


def wait_apart(look: Look, deadline: wait.Deadline) -> None:
    """Wait until another look is apart enough from the first."""
    clock.sleep(max(0.0, min(look.at + APART_SECONDS - clock.monotonic(), deadline.remaining)))


def refuse(device: str, wanted: Wanted, found: int, known: str) -> None:
    """Refuse what a look has found, unless a device may have it.

    :raises NotLUKS: naming it, and the option, where one would allow it.
    """
    if known:
        raise exception.NotLUKS(device=f'/dev/{device}', why=f'it has {known}')
    if wanted.blank and found >= 0:
        raise exception.NotLUKS(
            device=f'/dev/{device}',
            why=f'there is data at byte {found}; for back ends that hand out volumes with what was '
            'on them before, [os_brick] luks_format = unsigned has those formatted on which no '
            'probe recognises anything',
        )


def _require_unknown(device: str, wanted: Wanted, probed: str) -> None:
    """Refuse what blkid recognises, but for the rest of a header that was being written."""
    words = dict(line.partition('=')[::2] for line in probed.splitlines())
    if 'TYPE' not in words and 'PTTYPE' not in words:
        return
    if words.get('TYPE') == 'crypto_LUKS' and wanted.uuid and words.get('UUID') == wanted.uuid:
        return
    what = words.get('TYPE') or f'a partition table ({words["PTTYPE"]})'
    raise exception.NotLUKS(device=f'/dev/{device}', why=f'blkid recognises {what}')
