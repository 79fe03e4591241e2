# SPDX-License-Identifier: Apache-2.0
"""The reference table of NVMe controllers: which attaches use one, and for which volume.

The kernel does not know. An idle namespace of a subsystem may be a volume that is attached and not
opened yet, one that was detached and that the array still maps, or one that was never asked for.
So an attach acquires the controller that it is about to use and confirms what it has found there,
and a detach releases it. A state about an earlier controller of the same name is void. There is one
state for each portal: a controller that has gone by itself is forgotten with the next change there.

That an attach is about to make a controller is entered before it does (:func:`intended`). So a
process that is killed just after the kernel has made one, before it knows which, leaves none that
would be taken for one made by hand: the next change at the portal enters it as made by an attach.

Every function that changes the table is called by a holder of the portal's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
import dataclasses
from typing import Any

from os_brick import exception
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Portal:
    """What is kept about a portal.

    :ivar entries: about the controllers at it, by their names.
    :ivar intents: the lifelines of the attaches that are, or were, about to make one, by this
        host's name there; empty where that is left to the kernel.
    """

    entries: dict[str, Any]
    intents: dict[str, str]

    def known(self, controller: fabrics.Controller) -> References | None:
        """What is entered about a controller; ``None`` if it has no entry."""
        found = self.entries.get(controller.name)
        try:
            if found is None or (found['id'], found['number']) != (
                controller.id,
                controller.number,
            ):
                return None
            return References(
                frozenset(filter(locks.is_alive, found['coming'])),
                {
                    name: tuple(Use(*use) for use in uses)
                    for name, uses in found['attached'].items()
                },
                frozenset(found['released']),
                found['made'] is True,
            )
        except (KeyError, TypeError, AttributeError):
            return NOTHING  # Of another release: nothing is known.

    def meant(self, controller: fabrics.Controller) -> References:
        """What is known about a controller that has no entry.

        There was none by this host's name when the attach was about to make one, so it is that.
        """
        hosts = (controller.host_nqn, '')
        tokens = [self.intents[host] for host in hosts if host in self.intents]
        if not tokens:
            return NOTHING
        return References(coming=frozenset(filter(locks.is_alive, tokens)), is_made=True)

    def without(self, *hosts: str) -> dict[str, str]:
        """The intents but for those by some names."""
        return {host: token for host, token in self.intents.items() if host not in hosts}

    def save(self, lock: str) -> None:
        """Keep it.

        :raises BrickException: if it cannot be written.
        """
        state = {'controllers': self.entries, 'intents': self.intents}
        store.save(_STATE, lock, {name: value for name, value in state.items() if value} or None)


def read(controller: fabrics.Controller) -> References:
    """What is known about a controller."""
    portal = _at(controller.lock)
    known = portal.known(controller)
    return portal.meant(controller) if known is None else known


def _at(lock: str) -> _Portal:
    """What is kept about a portal, of this boot."""
    found = store.load(_STATE, lock, this_boot=True) or {}
    entries, intents = found.get('controllers'), found.get('intents')
    tokens = intents.items() if isinstance(intents, dict) else ()
    return _Portal(
        entries if isinstance(entries, dict) else {},
        {host: token for host, token in tokens if isinstance(token, str)},
    )


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
    before = _at(controller.lock)
    known, meant = before.known(controller), before.meant(controller)
    new = change(meant if known is None else known)
    left = {
        name: entry
        for name, entry in before.entries.items()
        if name != controller.name and _is_there(name, entry)
    }
    if new != NOTHING:
        left[controller.name] = _entry(controller, new)
    is_used_up = known is None and meant != NOTHING
    after = _Portal(left, before.without(controller.host_nqn, '') if is_used_up else before.intents)
    if after != before or not left:
        after.save(controller.lock)
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


def forget(controller: fabrics.Controller) -> None:
    """Forget what is known about a controller, and about others at its portal that have gone."""
    _change(controller, lambda _known: NOTHING)


def is_known(lock: str) -> bool:
    """Whether anything is kept about controllers at a portal, of an earlier boot, too.

    :param lock: what the portal is locked by.
    """
    return store.load(_STATE, lock) is not None


def forget_gone(lock: str, token: str = '') -> None:
    """Forget what is known about controllers at a portal that have gone by themselves.

    An attach that was about to make one is forgotten, too, unless it still is.

    :param lock: what the portal is locked by.
    :param token: the lifeline of an attach that is being taken back.
    """
    before = _at(lock)
    left = {name: entry for name, entry in before.entries.items() if _is_there(name, entry)}
    alive = {h: t for h, t in before.intents.items() if t != token and locks.is_alive(t)}
    after = _Portal(left, alive)
    if after != before or not left:
        after.save(lock)


@contextlib.contextmanager
def intended(lock: str, token: str, host_nqn: str) -> Iterator[None]:
    """Enter that an attach is about to make a controller in the block; it must make one.

    There is none at the portal by this host's name. If the block ends in an error that is taken
    back; if the process ends in it, that stays.

    :param lock: what the portal is locked by.
    :param token: the attach's lifeline.
    :param host_nqn: this host's name; empty if it is left to the kernel.
    :raises BrickException: if the table cannot be written.
    """
    before = _at(lock)
    left = {name: entry for name, entry in before.entries.items() if _is_there(name, entry)}
    others = before.without(host_nqn)
    _Portal(left, {**others, host_nqn: token}).save(lock)
    try:
        yield
    except BaseException:
        with contextlib.suppress(exception.BrickException):  # The next change takes it back.
            _Portal(left, others).save(lock)
        raise


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
