# SPDX-License-Identifier: Apache-2.0
"""What of an NVMe volume is taken away from this host, and in which order: facts to a plan, no I/O.

``host/nvme_survey`` looks at the host once and makes a :class:`Found` for each namespace;
:func:`choose` tells the namespace from others, :func:`plan` makes the steps,
``host/nvme_removal`` runs them.

The rule of :func:`choose`: names that no other namespace has decide alone. A number, or nothing at
all, may mean another namespace than at the attach: what was attached as another volume only is left
out, and of the rest the name of a device that the caller has kept decides. It never leads to a
namespace that the number does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import enum
from typing import Any

from os_brick.model import fabrics
from os_brick.plans import nvmeof as plans
from os_brick.plans.steps import Plan


@dataclasses.dataclass(frozen=True, slots=True)
class FoundHead:
    """The block device of a namespace as it was looked at.

    :ivar number: the kernel's number of it (the inode of its directory in sysfs), which no other
        one gets; 0 if there is none.
    :ivar users: what uses it, in words; ``None`` if that was not looked for.
    """

    name: str
    number: int
    users: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FoundArray:
    """The md array over the members of a replicated volume.

    :ivar number: the kernel's number of its block device.
    :ivar uuid: who it is, in mdadm's spelling; empty if nothing tells it.
    :ivar is_running: whether it takes I/O.
    :ivar has_member: whether the device of one of its members still exists.
    """

    name: str
    number: int
    uuid: str = ''
    is_running: bool = True
    has_member: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What there is on this host where a namespace may be.

    :ivar controllers: those at the portals of the properties.
    :ivar paths: every namespace behind them.
    :ivar heads: the block devices of those that may be the one.
    :ivar foreign: the namespaces, by their identity in words, that were attached as other volumes
        only.
    :ivar locks: the portals at which there is no controller, and a state of one that was there.
    """

    controllers: tuple[fabrics.Controller, ...] = ()
    paths: tuple[fabrics.Path, ...] = ()
    heads: tuple[FoundHead, ...] = ()
    foreign: frozenset[str] = frozenset()
    locks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which namespace is meant.

    :ivar what: the namespace and its subsystem, in words.
    :ivar used: the block device that the caller has kept the name of, which may be another's.
    """

    what: str
    identity: fabrics.NamespaceIdentity
    used: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What of the found things is the namespace's.

    :ivar paths: its own.
    :ivar others: the paths of other namespaces behind the same controllers.
    :ivar undecided: paths that fit what the caller knows, and may be another volume's.
    """

    wanted: Wanted
    found: Found = Found()
    paths: tuple[fabrics.Path, ...] = ()
    others: tuple[fabrics.Path, ...] = ()
    undecided: tuple[fabrics.Path, ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """The block devices of it: one, unless the kernel has no native multipath."""
        return tuple(dict.fromkeys(path.head for path in self.paths))

    @property
    def unclear(self) -> str:
        """Why the namespace cannot be told from others, or nothing."""
        if not self.undecided:
            return ''
        devices = ', '.join(f'/dev/{path.head} ({path.identity})' for path in self.undecided)
        kept = self.wanted.used or '(not known)'
        return (
            f'Detach of {self.wanted.what} as /dev/{kept}: what is there may be another volume: '
            f'{devices}. Pass vol_uuid or volume_nguid; nothing was removed'
        )


def choose(found: Found, wanted: Wanted) -> Choice:
    """Tell a namespace from others; see the rule at the top."""
    fit = plans.matching(wanted.identity, found.paths)
    if wanted.identity.is_unique:
        meant, left = fit, fit
    else:
        left = [path for path in fit if str(path.identity) not in found.foreign]
        meant = _meant(wanted, left)
    others = tuple(path for path in found.paths if path not in meant)
    undecided = () if meant else tuple(left)
    return Choice(wanted, found, tuple(meant), others, undecided)


def _meant(wanted: Wanted, left: Sequence[fabrics.Path]) -> list[fabrics.Path]:
    is_told_apart = wanted.identity.nsid is not None or len({path.head for path in left}) < 2
    if wanted.used is None and is_told_apart:
        return list(left)
    return [path for path in left if path.head == wanted.used]


class Verb(enum.StrEnum):
    """The steps of a removal."""

    REFUSE = 'refuse'
    CHECK_ARRAY = 'check users of array'
    FLUSH_ARRAY = 'flush array'
    STOP_ARRAY = 'stop array'
    CHECK_USERS = 'check users'
    FLUSH = 'flush'
    FLUSH_UNUSED = 'check users and flush'
    LEAVE = 'leave'
    FREE = 'leave connected'
    WAIT_GONE = 'wait until the kernel has removed'
    FORGET = 'forget controllers that have gone'


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One act, with all that is needed to prove that its object is still the one that was meant.

    :ivar device: a block device, by its name.
    :ivar number: the kernel's number of it.
    :ivar uuid: the array's.
    :ivar paths: those of the namespace.
    :ivar controllers: those that are left; they end unless something else is behind them.
    :ivar names: the namespaces that are released, by their identity in words.
    :ivar locks: portals, by what they are locked by.
    :ivar users: what uses the device, in words; ``None`` if that was not looked for.
    :ivar notes: reasons, in words.
    """

    verb: Verb
    device: str = ''
    number: int = 0
    uuid: str = ''
    paths: tuple[fabrics.Path, ...] = ()
    controllers: tuple[fabrics.Controller, ...] = ()
    names: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    users: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The step in plain values, without what is empty."""
        plain = {'verb': self.verb.value, **_plain(self)}
        if self.users is not None:
            plain['users'] = list(self.users)
        return plain

    def __str__(self) -> str:
        words = [self.verb.value, self.device, *(str(each) for each in self.controllers)]
        words += [f'({"; ".join(self.names)})' if self.names else '', *self.locks]
        return ' '.join(filter(None, [*words, *(self.users or ()), '; '.join(self.notes)]))


def _plain(value: Any) -> dict[str, Any]:
    """The fields of a value as JSON has them, without those that are empty."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if isinstance(held, tuple):
            held = [_plain(each) if dataclasses.is_dataclass(each) else each for each in held]
        elif dataclasses.is_dataclass(held):
            held = _plain(held)
        if held not in (None, '', 0, [], False):
            found[field.name] = held
    return found


Removal = Plan[Step]
_KIND = 'removal'


def plan(
    choices: Sequence[Choice],
    array: FoundArray | None = None,
    *,
    keep_connected: bool = False,
    flush_used: bool = False,
) -> Removal:
    """The steps that take a volume away: what is unclear first, then from the top down.

    :param choices: its namespaces: one, or the members of an array.
    :param keep_connected: whether its controllers are another program's, which stay.
    :param flush_used: whether what is used is flushed, too, as the removal goes on after errors.
    """
    steps = [Step(Verb.REFUSE, notes=(each.unclear,)) for each in choices if each.unclear]
    steps += _stop(array) if array is not None else []
    # Nothing is flushed before all are known to be idle, so one alone is looked at with its flush.
    is_one = sum(len(each.heads) for each in choices) == 1 and not flush_used
    for verb in (Verb.FLUSH_UNUSED,) if is_one else (Verb.CHECK_USERS, Verb.FLUSH):
        for each in choices:
            steps += _of_heads(verb, each)
    for each in choices:
        steps += _leave(each, keep_connected=keep_connected)
    steps += _forget(choices)
    return Plan(_KIND, '; '.join(each.wanted.what for each in choices), tuple(steps))


def _of_heads(verb: Verb, choice: Choice) -> Iterable[Step]:
    """One act on each of its block devices."""
    for head in choice.found.heads:
        own = tuple(path for path in choice.paths if path.head == head.name)
        if own:
            is_flushed = verb in {Verb.FLUSH, Verb.FLUSH_UNUSED}
            is_looked_at = verb in {Verb.CHECK_USERS, Verb.FLUSH_UNUSED}
            yield Step(
                *(verb, head.name, head.number),
                paths=own if is_flushed else (),
                users=head.users if is_looked_at else None,
            )


def _stop(array: FoundArray) -> Iterable[Step]:
    """Flush and stop an array; one none of whose members exists has nothing to be flushed to."""
    what = (array.name, array.number, array.uuid)
    yield Step(Verb.CHECK_ARRAY, *what)
    if array.is_running and array.has_member:
        yield Step(Verb.FLUSH_ARRAY, *what)
    yield Step(Verb.STOP_ARRAY, *what)


def _leave(choice: Choice, *, keep_connected: bool) -> Iterable[Step]:
    """Release a namespace behind all controllers at its portals, those that do not show it, too.

    Whether a controller ends is decided when it is left, under its lock: two volumes that are
    detached side by side would each leave it to the other. The notes say what it shows besides.
    """
    controllers = choice.found.controllers
    if not controllers or choice.undecided:
        return
    names = tuple(dict.fromkeys(str(path.identity) for path in choice.paths))
    notes = tuple(f'also shows {path.name}' for path in choice.others)
    if keep_connected:
        yield Step(Verb.FREE, controllers=controllers, names=names)
        return
    yield Step(Verb.LEAVE, controllers=controllers, names=names, notes=notes)
    yield from _of_heads(Verb.WAIT_GONE, choice)


def _forget(choices: Sequence[Choice]) -> Iterable[Step]:
    locks = tuple(dict.fromkeys(lock for each in choices for lock in each.found.locks))
    if locks:
        yield Step(Verb.FORGET, locks=locks)
