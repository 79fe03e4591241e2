# SPDX-License-Identifier: Apache-2.0
"""Links of encrypted volumes that were made for a device that has gone.

A device may go without a detach: the array gives its number to another volume, or a controller
ends. The kernel gives its name to the next device, and the link of the volume before leads there.
So an attach removes such links before it hands out a device, and a detach that of its own volume.

What tells a stale link from that of an attached volume is the volume's note: it has the link, who
the volume is, and the kernel's number of the device, which no other device gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import os

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, observe
from os_brick.host import block, links, namesakes, notes
from os_brick.model import note
from os_brick.plans import acts

LOG = logging.getLogger(__name__)

_DIRECTORY = links.PREFIX.rpartition('/')[0]


def remove_at(device: str, own: str, identity: str, state_path: str) -> None:
    """Remove the stale links that lead to a device, or have its name and lead nowhere.

    A link that leads to decrypted content stays: it does not lead to the device. That one cannot
    be removed is logged: the volume that is attached is not at fault.

    :param device: the path of a device that an attach is about to hand out.
    :param own: the link that the attach has made; empty if none.
    What the link leads to is another volume for certain: a note of it says so.

    :param identity: who the volume has proved to be; empty if that is not known.
    """
    try:
        for link in _at(device, own, identity, state_path):
            seen = links.mark(link)
            LOG.warning('The link %s to %s is that of a volume that has gone', link, device)
            with observe.step(acts.Link.REMOVE, link):
                links.remove(link, seen)
    except (OSError, exception.BrickException) as error:
        LOG.error('A link of another volume to %s may be left: %s', device, error)


def _at(device: str, own: str, identity: str, state_path: str) -> list[str]:
    node = files.realpath(device)
    named = {links.name_for(device), links.name_for(node)}
    found = [
        link
        for link in links.every()
        if link != own and (_leads_to(link) == node or (link in named and _is_dangling(link)))
    ]
    if not found:
        return []
    noted = notes.every(state_path)
    return [] if noted.unread else [x for x in found if _is_stale(x, identity, noted.notes)]


def _is_stale(link: str, identity: str, noted: Iterable[note.Note]) -> bool:
    """Whether a link is proven to be that of another volume than the one that is attached.

    One that nothing is noted of stays: it may be that of this volume, attached by another release.
    """
    its = [each for each in noted if _link_of(each) == link]
    return bool(its) and all(
        each.identity != identity if each.identity and identity else not namesakes.is_here(each)
        for each in its
    )


def of_volume(known: note.Note | None, state_path: str) -> str:
    """The link that the last attach of a volume has made, if it is stale; empty if it is not.

    It is not if the device is still the one that the attach had, and if another volume that is
    attached has the link by now.

    :param known: what is noted of the volume.
    """
    link = _link_of(known)
    if known is None or not link or not known.number or namesakes.is_here(known):
        return ''
    device = files.realpath(links.device_of(link))
    if not _is_dangling(link) and _leads_to(link) != device:
        return ''  # To decrypted content.
    others = _of_device(device, state_path)
    return '' if any(_link_of(each) == link for each in others if each.key != known.key) else link


def _leads_to(link: str) -> str:
    """Where a link of ours leads by itself; empty if it has gone."""
    try:
        target = links.where(link)
    except FileNotFoundError:  # Another volume's detach has just removed it.
        return ''
    return os.path.normpath(f'{_DIRECTORY}/{target}') if target[:1] == '.' else target


def _is_dangling(link: str) -> bool:
    target = _leads_to(link)
    return target != '' and not files.exists(target)


def _link_of(known: note.Note | None) -> str:
    """The link that an attach has returned, by its note; empty if it has returned none."""
    path = (known.result or {}).get('path') if known is not None else ''
    return path if isinstance(path, str) and path.startswith(links.PREFIX) else ''


def _of_device(path: str, state_path: str) -> Iterator[note.Note]:
    """The notes of volumes whose device is still the one that has this path."""
    name = block.name_of(path)
    for each in notes.every(state_path).notes:
        if each.device == name and namesakes.is_here(each):
            yield each
