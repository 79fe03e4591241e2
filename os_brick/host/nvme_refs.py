# SPDX-License-Identifier: Apache-2.0
"""The reference table of NVMe controllers: which attaches use one, and for which volume.

The kernel does not know. An idle namespace of a subsystem may be a volume that is attached and not
opened yet, one that was detached and that the array still maps, or one that was never asked for.
So an attach acquires the controller that it is about to use and confirms what it has found there,
and a detach releases it. A state about an earlier controller of the same name is void. There is one
state for each portal: a controller that has gone by itself is forgotten with the next change there.

Every function that changes the table is called by a holder of the portal's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import dataclasses
from typing import Any

from os_brick.core import locks, store
from os_brick.host import nvme
from os_brick.model import fabrics

_STATE = 'controller'
# Attaches of one namespace whose take-back may still come. That older ones are forgotten can only
# keep a controller.
_MOST_ATTACHES = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """One attach's use of a namespace.

    :ivar volume: what its volume is locked by.
    :ivar token: the lifeline of the attach, which tells it from others of the same volume.
    """

    volume: str
    token: str


@dataclasses.dataclass(frozen=True, slots=True)
class References:
    """What is known about a controller.

    :ivar coming: the attaches under way that use it, by their tokens.
    :ivar attached: the namespaces behind it that attaches have found, and the attaches.
    :ivar released: those that detaches have released; the array may still map them.
    :ivar is_made: whether an attach has made the controller.
    """

    coming: frozenset[str] = frozenset()
    attached: Mapping[str, tuple[Use, ...]] = dataclasses.field(default_factory=dict)
    released: frozenset[str] = frozenset()
    is_made: bool = False

    def is_foreign(self, name: str, volume: str) -> bool:
        """Whether a namespace was attached, and never as this volume."""
        uses = self.attached.get(name, ())
        return bool(uses) and all(use.volume != volume for use in uses)


NOTHING = References()


def read(controller: fabrics.Controller) -> References:
    """What is known about a controller."""
    return _parsed(controller, _entries(controller.lock))


def _parsed(controller: fabrics.Controller, entries: Mapping[str, Any]) -> References:
    found = entries.get(controller.name)
    try:
        if found is None or (found['id'], found['number']) != (controller.id, controller.number):
            return NOTHING
        return References(
            frozenset(filter(locks.is_alive, found['coming'])),
            {name: tuple(Use(*use) for use in uses) for name, uses in found['attached'].items()},
            frozenset(found['released']),
            found['made'] is True,
        )
    except (KeyError, TypeError, AttributeError):
        return NOTHING  # Of another release: nothing is known.


def _entries(lock: str) -> dict[str, Any]:
    """What is kept about the controllers at a portal, by their names."""
    found = store.load(_STATE, lock, this_boot=True)
    entries = found.get('controllers') if found is not None else None
    return entries if isinstance(entries, dict) else {}


def _is_there(name: str, entry: Any) -> bool:
    # Name and ID may both be those of an earlier controller; the number of its directory is not
    # until the next boot.
    return isinstance(entry, dict) and nvme.number_of(name) == entry.get('number') != 0


def _change(
    controller: fabrics.Controller, change: Callable[[References], References]
) -> References:
    """Change what is known about a controller; return what is known then.

    What was kept about others at its portal that have gone by themselves is forgotten.
    """
    entries = _entries(controller.lock)
    new = change(_parsed(controller, entries))
    left = {
        name: entry
        for name, entry in entries.items()
        if name != controller.name and _is_there(name, entry)
    }
    if new != NOTHING:
        left[controller.name] = _entry(controller, new)
    if left != entries or not left:
        _save(controller.lock, left)
    return new


def _entry(controller: fabrics.Controller, references: References) -> dict[str, Any]:
    return {
        'id': controller.id,
        'number': controller.number,
        'coming': sorted(references.coming),
        'attached': {
            name: [list(dataclasses.astuple(use)) for use in uses]
            for name, uses in references.attached.items()
        },
        'released': sorted(references.released),
        'made': references.is_made,
    }


def _save(lock: str, entries: Mapping[str, Any]) -> None:
    store.save(_STATE, lock, {'controllers': entries} if entries else None)


def forget(controller: fabrics.Controller) -> None:
    """Forget what is known about a controller, and about others at its portal that have gone."""
    _change(controller, lambda _known: NOTHING)


def is_known(lock: str) -> bool:
    """Whether anything is kept about controllers at a portal, of an earlier boot, too.

    :param lock: what the portal is locked by.
    """
    return store.load(_STATE, lock) is not None


def forget_gone(lock: str) -> None:
    """Forget what is known about controllers at a portal that have gone by themselves.

    :param lock: what the portal is locked by.
    """
    entries = _entries(lock)
    left = {name: entry for name, entry in entries.items() if _is_there(name, entry)}
    if left != entries or not left:
        _save(lock, left)


def created(controller: fabrics.Controller, token: str) -> None:
    """Enter a controller that an attach has just made and is about to use."""
    _change(controller, lambda _known: References(coming=frozenset({token}), is_made=True))


def acquire(controller: fabrics.Controller, token: str) -> None:
    """Enter an attach that is about to use a controller.

    :param token: its lifeline; the entry ends with it, even if the process is killed.
    :raises BrickException: if the table cannot be written.
    """
    _change(controller, lambda known: dataclasses.replace(known, coming=known.coming | {token}))


def confirm(controller: fabrics.Controller, volume: str, token: str, name: str) -> None:
    """Enter the namespace that an attach has found, which is not about to come any more.

    :raises BrickException: if the table cannot be written.
    """

    def change(known: References) -> References:
        uses = (*known.attached.get(name, ()), Use(volume, token))[-_MOST_ATTACHES:]
        return dataclasses.replace(
            known,
            coming=known.coming - {token},
            attached={**known.attached, name: uses},
            released=known.released - {name},
        )

    _change(controller, change)


def withdraw(controller: fabrics.Controller, token: str) -> References:
    """Take back what one attach has entered; what others have entered stays.

    :return: what is known then.
    """

    def change(known: References) -> References:
        left = {
            name: tuple(use for use in uses if use.token != token)
            for name, uses in known.attached.items()
        }
        return dataclasses.replace(
            known,
            coming=known.coming - {token},
            attached={name: uses for name, uses in left.items() if uses},
        )

    return _change(controller, change)


def release(controller: fabrics.Controller, names: Iterable[str]) -> References:
    """Enter namespaces as released by a detach; return what is known then."""
    gone = set(names)
    return _change(
        controller,
        lambda known: dataclasses.replace(
            known,
            attached={name: uses for name, uses in known.attached.items() if name not in gone},
            released=known.released | gone,
        ),
    )


def drop(controller: fabrics.Controller, names: Iterable[str]) -> None:
    """Take back that attaches use namespaces behind a controller that is not to be disconnected.

    They are not entered as released, for which a controller may be disconnected.
    """
    gone = set(names)
    _change(
        controller,
        lambda known: dataclasses.replace(
            known,
            attached={name: uses for name, uses in known.attached.items() if name not in gone},
        ),
    )
