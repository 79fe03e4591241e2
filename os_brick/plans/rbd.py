# SPDX-License-Identifier: Apache-2.0
"""Which of the mapped images of a name is a volume, and which of them goes with a detach."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from os_brick.model import addresses
from os_brick.model import rbd as model

Found = Sequence[model.Mapped]
Told = Mapping[int, model.Configuration]


def of_monitors(
    found: Found, told: Told, monitors: Collection[addresses.Portal]
) -> tuple[model.Mapped, ...]:
    """Those of the cluster that has these monitors: the kernel was told one of them.

    With one of them all of its cluster are known, those that were mapped through other monitors
    among them. Of none at all it is not said that they are of another cluster: it may have been
    given other monitors since.
    """
    asked = [
        each
        for each in found
        if each.number in told and model.is_same_cluster(told[each.number].monitors, monitors)
    ]
    clusters = {each.fsid for each in asked} - {''}
    return tuple(each for each in found if each in asked or each.fsid in clusters)


def of_cluster(found: Found, fsid: str) -> tuple[model.Mapped, ...]:
    """Those of the cluster with this ID; none where the kernel shows none (before Linux 4.9)."""
    return tuple(each for each in found if fsid and each.fsid == fsid)


def is_ambiguous(found: Found, used: str | None) -> bool:
    """Whether it has to be asked which image a volume is.

    It is not where the device that the caller had says it; nor where there is one image only, and
    the caller had no other device.
    """
    if any(each.name == used for each in found):
        return False
    return len({each.identity for each in found}) > 1 or (bool(found) and used is not None)


def known(
    found: Found, told: Told, monitors: Collection[addresses.Portal], used: str | None
) -> tuple[model.Mapped, ...] | None:
    """Those of the volume's cluster and image; ``None`` if only the cluster knows them.

    :param used: the device that the caller had. One that is none of these has gone.
    """
    own = of_monitors(found, told, monitors)
    if not own and found and (used is None or any(each.name == used for each in found)):
        return None
    return None if is_ambiguous(own, used) else own


def answered(
    found: Found,
    told: Told,
    monitors: Collection[addresses.Portal],
    used: str | None,
    identity: tuple[str, ...],
) -> tuple[model.Mapped, ...]:
    """The same, once the cluster has reported the identity of the image."""
    own = of_monitors(found, told, monitors) or of_cluster(found, identity[0])
    return of_identity(own, identity) if is_ambiguous(own, used) else own


def of_identity(found: Found, identity: tuple[str, ...]) -> tuple[model.Mapped, ...]:
    """Those of one image."""
    return tuple(each for each in found if each.identity == identity)


def as_used(found: Found, used: str | None) -> tuple[model.Mapped, ...]:
    """Those of the image of the device that the caller had; all if it is none of them."""
    for each in found:
        if each.name == used:
            return of_identity(found, each.identity)
    return tuple(found)


def to_reuse(found: Found, told: Told, unfit: Collection[int]) -> model.Mapped | None:
    """The one of several maps of one image that an attach hands out; rather one of ours.

    :param unfit: the numbers of those that are read-only, for an image that is to be written to.
    """
    fit = [each for each in found if each.number not in unfit]
    fit.sort(key=lambda each: (not _is_ours(each, told), each.number))
    return fit[0] if fit else None


def to_remove(found: Found, told: Told, used: str | None) -> tuple[model.Mapped, ...]:
    """Of several maps of one image those that a detach takes away: ours, and the one in use.

    Another one was made by the host's operator, and stays. If none is known to be ours, all go:
    os-brick 7.1.1 left no mark, and not every caller keeps the path.

    :param used: the device that the caller had.
    """
    own = [each for each in found if _is_ours(each, told) or each.name == used]
    return tuple(own or found)


def _is_ours(mapped: model.Mapped, told: Told) -> bool:
    return mapped.number in told and told[mapped.number].is_ours
