# SPDX-License-Identifier: Apache-2.0
"""How an NVMe volume grows on this host: facts to plans, no I/O. The twin of ``plans/growth``.

The host is looked at twice, so there are two plans: :func:`read` before anything is known of the
new size, and :func:`resize` once the subsystem has reported it. A replicated volume has these for
each of its namespaces, and then :func:`array`. ``host/nvme_growth`` looks, and runs them.
:func:`extend` is what all of them come to if the volume has grown, to be read before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses
import enum

from os_brick.model import fabrics
from os_brick.plans import steps
from os_brick.plans.nvme_removal import FoundArray


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPath:
    """A path to the namespace before it grows.

    :ivar why_unusable: why it takes no I/O now; empty if it does.
    """

    path: fabrics.Path
    why_unusable: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class FoundHead:
    """A block device of the namespace: one, unless the kernel has no native multipath.

    :ivar number: the kernel's number of it (the inode of its directory in sysfs), which no other
        one gets.
    """

    name: str
    number: int
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A namespace before it grows.

    :ivar heads: the block devices of the paths that take I/O.
    """

    identity: fabrics.NamespaceIdentity
    paths: tuple[FoundPath, ...]
    heads: tuple[FoundHead, ...]

    @property
    def what(self) -> str:
        """Its device, in words."""
        names = [f'/dev/{head.name}' for head in self.heads]
        return ', '.join(names) or f'namespace {self.identity}'


class Verb(enum.StrEnum):
    """The steps of a growth."""

    ASK_SIZE = 'ask for size'
    REFUSE = 'refuse'
    RESCAN = 'rescan'
    AWAIT_SIZE = 'wait for size'
    RESIZE_ARRAY = 'resize array'


@dataclasses.dataclass(frozen=True, slots=True)
class Step(steps.FieldsStep):
    """One act, with what proves that its object is still the one that was meant.

    :ivar device: a controller, the block device of a namespace, or an array.
    :ivar path: the path by which the subsystem is asked.
    :ivar number: the block device's.
    :ivar identity: what the namespace has to be.
    :ivar uuid: the array's.
    :ivar size_bytes: what it is to have; of a refusal, what the volume has.
    """

    verb: Verb
    device: str = ''
    path: str = ''
    number: int | None = None
    identity: str = ''
    uuid: str = ''
    size_bytes: int | None = None


Growth = steps.Plan[Step]


def _growth(what: str, *of: Step) -> Growth:
    return steps.Plan('growth', what, of)


def read(found: Found) -> Growth:
    """The steps that find out the namespace's size: the first path that reports one decides."""
    asked = [
        Step(Verb.ASK_SIZE, each.path.head, each.path.name, identity=str(each.path.identity))
        for each in found.paths
        if not each.why_unusable
    ]
    return _growth(found.what, *asked)


def resize(found: Found, size: int) -> Growth:
    """The steps that have the kernel show the namespace's new size.

    A namespace that has become smaller stays as it is: there may be data behind its new end.

    :param size: what its subsystem reports, in bytes.
    """
    larger = [head for head in found.heads if head.size_bytes > size]
    if larger:
        return _growth(found.what, Step(Verb.REFUSE, larger[0].name, size_bytes=size))
    if {head.size_bytes for head in found.heads} == {size}:
        return _growth(found.what)
    return _growth(found.what, *_look_anew(found, size))


def _look_anew(found: Found, size: int | None) -> Iterator[Step]:
    for name in sorted({each.path.controller for each in found.paths}):
        yield Step(Verb.RESCAN, name)
    for head in found.heads:
        yield Step(Verb.AWAIT_SIZE, head.name, number=head.number, size_bytes=size)


def array(found: FoundArray) -> Growth:
    """The step that has the array of a replicated volume use the new size of its members."""
    step = Step(Verb.RESIZE_ARRAY, found.name, number=found.number, uuid=found.uuid)
    return _growth(f'/dev/{found.name}', step)


def extend(what: str, members: Sequence[Found], over: FoundArray | None = None) -> Growth:
    """The whole growth of a volume if it has become larger, and what happens if it has not.

    Of the paths that report the size only the first is asked.

    :param what: the volume, in words.
    :param members: its namespaces.
    :param over: the array of a replicated volume.
    """
    asked = [read(each).steps for each in members]
    new = [step for each in members for step in _look_anew(each, None)]
    last = array(over).steps if over else ()
    return steps.Plan(
        'growth',
        what,
        (*(step for each in asked for step in each[:1]), *new, *last),
        tuple(line for each in members for line in _now(each)),
        tuple(_could(asked, over)),
    )


def _now(found: Found) -> Iterator[str]:
    for head in found.heads:
        yield f'/dev/{head.name} ({found.identity.name or found.identity}): {head.size_bytes} bytes'
    for each in found.paths:
        if each.why_unusable:
            yield f'path {each.path.name} takes no I/O: {each.why_unusable}'


def _could(asked: Sequence[Sequence[Step]], over: FoundArray | None) -> Iterator[str]:
    others = ', '.join(step.path for each in asked for step in each[1:])
    if others:
        yield f'a path does not report the size: another one is asked ({others})'
    if over is None:
        yield 'the size is still that of now: nothing else is done'
    else:
        yield 'the size is still that of now: only the array is told to use all of its members'
        yield 'a member does not grow: the array is told all the same, and no smaller than now'
    yield 'the volume has become smaller, or is another one: the extend fails, and nothing changes'
