# SPDX-License-Identifier: Apache-2.0
"""What to do about NVMe namespaces: which one is it, when to look again, as whom to connect."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Protocol, TypeVar

from os_brick.model import fabrics


class _Path(Protocol):
    @property
    def identity(self) -> fabrics.NamespaceIdentity:
        """Who the kernel believes it to be."""


P = TypeVar('P', bound=_Path)


def matching(wanted: fabrics.NamespaceIdentity, paths: Iterable[P]) -> list[P]:
    """The namespaces that may be the wanted one.

    Where an array gives one name to several namespaces, the number decides between them.
    """
    found = [path for path in paths if wanted.matches(path.identity)]
    if len(found) > 1 and wanted.nsid is not None:
        found = [path for path in found if path.identity.nsid == wanted.nsid] or found
    return found


def foreign(
    behind: Iterable[P], attached: Container[str], released: Container[str], *, is_made: bool
) -> tuple[list[P], list[P]]:
    """The namespaces behind a controller that keep it, and those that do if they are in use.

    :param behind: those that are not let go of.
    :param attached: those that an attach has found there.
    :param released: those that were released; the array may still map them.
    :param is_made: whether an attach has made the controller. Behind another one any namespace may
        have a user that never told.
    """
    kept: list[P] = []
    idle: list[P] = []
    for path in behind:
        name = str(path.identity)
        is_known = is_made or name in released
        (idle if is_known and name not in attached else kept).append(path)
    return kept, idle


def rescan_times(*, is_new: bool) -> list[float]:
    """When to have the kernel look for a namespace that is not there, in seconds from now.

    A new controller is looked at by the kernel anyway, and a target reports another
    namespace; but not every target does.
    """
    return [1.0, 4.0, 10.0] if is_new else [0.0, 1.0, 4.0, 10.0]


def host(
    name: str | None, wanted: str | None, ids: dict[str, str], own_id: str | None
) -> tuple[str, str] | None:
    """The name and the ID by which to connect; ``None`` leaves both to the kernel.

    Linux takes one ID only under one name, so a name that is in use keeps its ID.

    :param name: this host's own name.
    :param wanted: the name that the caller wants instead.
    :param ids: the IDs of the names that are in use.
    """
    chosen = wanted or name
    if not chosen:
        return None
    if chosen in ids:
        return chosen, ids[chosen]
    if chosen == name and own_id and own_id not in ids.values():
        return chosen, own_id
    return chosen, fabrics.host_id_of(chosen)
