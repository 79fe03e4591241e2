# SPDX-License-Identifier: Apache-2.0
"""``--ask``: which volume each path is now, by its own answer, beside what the kernel has of it.

An INQUIRY, or an Identify, to each path, side by side and each in a child process: a device that
hangs costs its own line. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import errno

from os_brick import exception, privileged
from os_brick.core import fanout, files, wait
from os_brick.host import inquiry, nvme, scsi
from os_brick.model import inventory, vpd

_ANOTHER = 'it reports {reported}, which is another volume'
# One device is not waited for longer than this, whatever the command's limit is.
_DEVICE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    """What a path has reported.

    :ivar trouble: what is wrong with it; empty if it is the volume.
    """

    reported: str
    trouble: str = ''


def asked(host: inventory.Host, seconds: float) -> inventory.Host:
    """The host with what each path reports, and what that means for its volume."""
    privileged.default.set_client_mode(False)  # as root: no daemon
    deadline = wait.Deadline.after(seconds)
    wanted = {
        path.device: (volume, path)
        for volume in host.volumes
        for path in volume.paths
        if path.address or path.device.startswith('nvme')
    }

    def ask(device: str) -> _Answer:
        volume, path = wanted[device]
        limit = deadline.limit(_DEVICE_SECONDS)
        try:
            answer = _ask_disk(volume, path, limit) if path.address else _ask_namespace(path, limit)
        except (OSError, exception.BrickException):
            if _is_there(path):
                raise
        # Its name may be that of another volume's device by now, which has answered for itself.
        return answer if _is_there(path) else _Answer('', 'it has gone meanwhile')

    answers, errors = fanout.fanout(ask, wanted)
    volumes = tuple(_with_answers(volume, answers, errors) for volume in host.volumes)
    missed = tuple(
        inventory.Unread(f'which volume {device} is', _why(error))
        for device, error in sorted(errors.items())
    )
    return dataclasses.replace(host, volumes=volumes, unread=(*host.unread, *missed))


def _why(error: Exception) -> str:
    if isinstance(error, exception.OperationTimedOut):
        return 'it does not answer'
    return str(error)


def _ask_disk(volume: inventory.Volume, path: inventory.Path, seconds: float) -> _Answer:
    known = scsi.cached_identity(path.device)
    try:
        actual = inquiry.identity(path.device, seconds)
    except inquiry.NothingMapped:
        return _Answer('', 'the target has nothing at its LUN any more')
    reported = actual.wwid or str(actual)
    is_another = actual.is_another(known)
    if volume.kind == 'multipath':
        is_another = is_another or actual.compare_wwid(volume.identity) is vpd.Match.ANOTHER
    return _Answer(reported, _ANOTHER.format(reported=reported) if is_another else '')


def _ask_namespace(path: inventory.Path, seconds: float) -> _Answer:
    found = next((each for each in nvme.paths(path.link) if each.name == path.device), None)
    if found is None:
        raise OSError(errno.ENODEV, 'it has gone')
    actual = nvme.report(found, seconds).identity
    reported = str(actual)
    is_same = found.identity.matches(actual)
    return _Answer(reported, '' if is_same else _ANOTHER.format(reported=reported))


def _is_there(path: inventory.Path) -> bool:
    """Whether a device is still the one that was looked at, by its number in the kernel."""
    if path.address:
        return files.inode(f'/sys/class/block/{path.device}') == path.number
    places = (f'/sys/class/nvme/{path.link}', f'/sys/class/nvme-fabrics/ctl/{path.link}')
    return path.number in [files.inode(f'{place}/{path.device}') for place in places]


def _with_answers(
    volume: inventory.Volume, answers: dict[str, _Answer], errors: dict[str, Exception]
) -> inventory.Volume:
    paths = []
    for path in volume.paths:
        answer, error = answers.get(path.device), errors.get(path.device)
        if answer is not None:
            path = dataclasses.replace(  # noqa: PLW2901 the same path, and what it reported
                path,
                reported=answer.reported,
                is_usable=path.is_usable and not answer.trouble,
                trouble=answer.trouble or path.trouble,
            )
        elif error is not None:
            path = dataclasses.replace(path, trouble=path.trouble or _why(error))  # noqa: PLW2901
        paths.append(path)
    return dataclasses.replace(volume, paths=tuple(paths))
