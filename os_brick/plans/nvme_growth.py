# SPDX-License-Identifier: Apache-2.0
"""How an NVMe volume grows on this host: facts to plans, no I/O. The twin of ``plans/growth``.

The host is looked at twice, so there are two plans: :func:`read` before anything is known of the
new size, and :func:`resize` once the subsystem has reported it. A replicated volume has these for
each of its namespaces, and then :func:`array`. ``host/nvme_growth`` looks, and runs them.
"""

from __future__ import annotations

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
    controllers = sorted({each.path.controller for each in found.paths})
    return _growth(
        found.what,
        *(Step(Verb.RESCAN, name) for name in controllers),
        *(
            Step(Verb.AWAIT_SIZE, head.name, number=head.number, size_bytes=size)
            for head in found.heads
        ),
    )


def array(found: FoundArray) -> Growth:
    """The step that has the array of a replicated volume use the new size of its members."""
    step = Step(Verb.RESIZE_ARRAY, found.name, number=found.number, uuid=found.uuid)
    return _growth(f'/dev/{found.name}', step)
