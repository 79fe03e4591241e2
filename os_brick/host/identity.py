# SPDX-License-Identifier: Apache-2.0
"""Which volume a block device is now, as the volume itself reports it."""

from __future__ import annotations

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, dm, inquiry, nvme, scsi
from os_brick.model import fabrics, vpd

_ASK_SECONDS = 10.0


def prove(device: str, deadline: wait.Deadline) -> str:
    """The identity of a volume, asked of each of its paths; empty where it has none to ask for.

    :param device: the kernel's name, such as ``dm-4``, ``sdc`` or ``nvme0n1``.
    :raises VolumeIdentityMismatch: if a path is another volume by now.
    :raises VolumeDeviceNotFound: if no path says who it is.
    """
    wwid = dm.wwid(device)
    if wwid:
        return _of_map(device, wwid, deadline)
    if scsi.address_of(device) is not None:
        return _of_disk(device, deadline)
    if fabrics.is_head(device):
        return _of_namespace(device, deadline)
    # A logical volume has a UUID of its own; an image of another kind has none.
    return dm.uuid(device)


def _of_map(device: str, wwid: str, deadline: wait.Deadline) -> str:
    found = inquiry.ask_all(block.members(device), deadline.within(_ASK_SECONDS))
    for unmapped in found.unmapped.values():
        raise _another(device, wwid, str(unmapped)) from unmapped
    for disk, answer in found.reported.items():
        if answer.identity.compare_wwid(wwid) is not vpd.Match.SAME:
            raise _another(device, wwid, f'{answer.identity} through its disk {disk}')
    if not found.reported:
        reasons = [f'{disk}: {error}' for disk, error in found.unanswered.items()]
        raise _unanswered(device, wwid, reasons)
    return f'wwid-{wwid.lower()}'


def _of_disk(device: str, deadline: wait.Deadline) -> str:
    known = scsi.cached_identity(device)
    try:
        actual = inquiry.identity(device, deadline.limit(_ASK_SECONDS))
    except inquiry.NothingMapped as error:
        raise _another(device, str(known), str(error)) from error
    except (OSError, exception.OperationTimedOut) as error:
        raise _unanswered(device, str(known), [str(error)]) from error
    if actual.is_another(known):
        raise _another(device, str(known), str(actual))
    return f'wwid-{actual.wwid.lower()}' if actual.wwid else ''


def _of_namespace(device: str, deadline: wait.Deadline) -> str:
    asked, reasons, identity = 0, [], ''
    for path in nvme.paths_of(device):
        why = nvme.why_unusable(path)
        if why is not None:
            reasons.append(f'{path.name}: {why}')
            continue
        try:
            actual = nvme.report(path, deadline.limit(_ASK_SECONDS)).identity
        except (OSError, exception.BrickException) as error:
            reasons.append(f'{path.name}: {error}')
            continue
        if not path.identity.matches(actual):
            raise _another(device, str(path.identity), f'{actual} through its path {path.name}')
        asked += 1
        unique = actual.uuid or actual.nguid or actual.eui64
        identity = f'nvme-{unique.lower()}' if unique else ''
    if not asked:
        raise _unanswered(device, 'its namespace', reasons)
    return identity


def _another(device: str, expected: str, actual: str) -> exception.VolumeIdentityMismatch:
    return exception.VolumeIdentityMismatch(
        device=f'/dev/{device}', expected=expected, actual=actual
    )


def _unanswered(device: str, expected: str, reasons: list[str]) -> exception.VolumeDeviceNotFound:
    return exception.VolumeDeviceNotFound(
        f'No path of /dev/{device} confirms that it is {expected}: '
        f'{"; ".join(reasons) or "it has none"}'
    )
