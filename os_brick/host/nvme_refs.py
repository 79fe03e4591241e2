# SPDX-License-Identifier: Apache-2.0
"""The reference table of NVMe controllers: which attaches use one, and for which volume.

The kernel does not know. An idle namespace of a subsystem may be a volume that is attached and not
opened yet, one that was detached and that the array still maps, or one that was never asked for.
So an attach acquires the controller that it is about to use and confirms what it has found there,
and a detach releases it. A state about an earlier controller of the same name is void.

Every function that changes the table is called by a holder of the controller's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

from os_brick.core import locks, store
from os_brick.host import nvme

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


def read(controller: nvme.Controller) -> References:
    """What is known about a controller."""
    found = store.load(_STATE, _key(controller), this_boot=True)
    if found is None or found.get('controller') != _of(controller):
        return NOTHING
    try:
        return References(
            frozenset(filter(locks.is_alive, found['coming'])),
            {name: tuple(Use(*use) for use in uses) for name, uses in found['attached'].items()},
            frozenset(found['released']),
            found['made'] is True,
        )
    except (KeyError, TypeError, AttributeError):
        return NOTHING  # Of another release: nothing is known.


def _write(controller: nvme.Controller, references: References) -> None:
    if references == NOTHING:
        forget(controller)
        return
    state: dict[str, Any] = {
        'controller': _of(controller),
        'coming': sorted(references.coming),
        'attached': {
            name: [dataclasses.astuple(use) for use in uses]
            for name, uses in references.attached.items()
        },
        'released': sorted(references.released),
        'made': references.is_made,
    }
    store.save(_STATE, _key(controller), state)


def forget(controller: nvme.Controller) -> None:
    """Forget what is known about a controller."""
    store.save(_STATE, _key(controller), None)


def _key(controller: nvme.Controller) -> str:
    return f'{controller.lock} {controller.name}'


def _of(controller: nvme.Controller) -> str:
    # Name and ID may both be those of an earlier controller; the number of its directory is not
    # until the next boot.
    return f'{controller.name} {controller.id} {controller.number}'


def created(controller: nvme.Controller, token: str) -> None:
    """Enter a controller that an attach has just made and is about to use."""
    _write(controller, References(coming=frozenset({token}), is_made=True))


def acquire(controller: nvme.Controller, token: str) -> None:
    """Enter an attach that is about to use a controller.

    :param token: its lifeline; the entry ends with it, even if the process is killed.
    :raises BrickException: if the table cannot be written.
    """
    known = read(controller)
    _write(controller, dataclasses.replace(known, coming=known.coming | {token}))


def confirm(controller: nvme.Controller, volume: str, token: str, name: str) -> None:
    """Enter the namespace that an attach has found, which is not about to come any more.

    :raises BrickException: if the table cannot be written.
    """
    known = read(controller)
    uses = (*known.attached.get(name, ()), Use(volume, token))[-_MOST_ATTACHES:]
    new = dataclasses.replace(
        known,
        coming=known.coming - {token},
        attached={**known.attached, name: uses},
        released=known.released - {name},
    )
    _write(controller, new)


def withdraw(controller: nvme.Controller, token: str) -> References:
    """Take back what one attach has entered; what others have entered stays.

    :return: what is known then.
    """
    known = read(controller)
    left = {
        name: tuple(use for use in uses if use.token != token)
        for name, uses in known.attached.items()
    }
    new = dataclasses.replace(
        known,
        coming=known.coming - {token},
        attached={name: uses for name, uses in left.items() if uses},
    )
    if new != known:
        _write(controller, new)
    return new


def release(controller: nvme.Controller, names: Iterable[str]) -> References:
    """Enter namespaces as released by a detach; return what is known then."""
    known = read(controller)
    gone = set(names)
    new = dataclasses.replace(
        known,
        attached={name: uses for name, uses in known.attached.items() if name not in gone},
        released=known.released | gone,
    )
    _write(controller, new)
    return new
