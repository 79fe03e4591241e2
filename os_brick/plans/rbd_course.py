# SPDX-License-Identifier: Apache-2.0
"""What is done with an image of Ceph that the kernel maps: facts to steps, no I/O.

``plans/rbd`` tells which of the mapped images is the volume. Where only the cluster knows that, the
question to it is a step, and the others are those of the likely answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
import dataclasses
import enum

from os_brick.model import rbd as model
from os_brick.plans import acts
from os_brick.plans.acts import Act


class Verb(enum.StrEnum):
    """The steps of each operation."""

    SWEEP = 'unmap what was mapped for a question'
    ASK = 'ask cluster who the image is'
    MAP = 'map'
    USE = 'use device'
    READ = 'read'
    CHECK_USERS = 'check users'
    FLUSH = 'flush'
    UNMAP = 'unmap'
    REMOVE_CONF = 'remove file'
    REFRESH = 'read size'


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A mapped image, with the kernel's number of its block device."""

    mapped: model.Mapped
    number: int

    @property
    def path(self) -> str:
        """Its device."""
        return f'/dev/{self.mapped.name}'


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What there is of an image on this host.

    :ivar here: what is mapped under its name.
    :ivar probes: what was mapped for a question by a process that was killed.
    :ivar likely: which of them is the volume, as far as this host tells.
    :ivar is_asked: whether only the cluster knows it.
    """

    image: str
    here: tuple[Device, ...] = ()
    probes: tuple[model.Mapped, ...] = ()
    likely: tuple[Device, ...] = ()
    is_asked: bool = False


def _act(verb: Verb, device: Device) -> Act:
    return Act(verb, device.path, device.number, '/'.join(filter(None, device.mapped.identity)))


def removal_of(device: Device, *, force: bool = False) -> tuple[Act, ...]:
    """The steps that take one device away; with ``force`` its users are not asked for."""
    check = [] if force else [_act(Verb.CHECK_USERS, device)]
    return (*check, _act(Verb.FLUSH, device), _act(Verb.UNMAP, device))


def conf_removed(path: str | None) -> tuple[Act, ...]:
    """The step that removes what os-brick 7.1.1 has left."""
    return (Act(Verb.REMOVE_CONF, path),) if path else ()


def _before(found: Found) -> Iterator[Act]:
    for each in found.probes:
        yield Act(Verb.SWEEP, f'/dev/{each.name}')
    if found.is_asked:
        yield Act(Verb.ASK, found.image, back='nothing of it stays')


def attach(found: Found, who: str, *, is_encrypted: bool) -> acts.Plan:
    """An attach.

    :param who: the user and the monitors, in words.
    """
    likely = found.likely[:1]
    chosen = [_act(Verb.USE, each) for each in likely] or [
        Act(Verb.MAP, found.image, value=who, back='unmap it')
    ]
    could = [
        'the cluster does not let the user map it, or another client has locked it: the attach '
        'fails'
    ]
    if likely:
        could = [f'the image has been made anew since: it is mapped as {who}', *could]
    elif found.here:
        could = ['a device that is mapped is the image after all: it is used', *could]
    return acts.plan(
        'attach',
        f'image {found.image}',
        (*_before(found), *chosen, Act(Verb.READ), *acts.link_made(is_encrypted=is_encrypted)),
        _now(found),
        could,
    )


def removal(found: Found, last: Sequence[Act], *, force: bool = False) -> acts.Plan:
    """A detach.

    :param last: the steps for files and links.
    """
    each = (step for device in found.likely for step in removal_of(device, force=force))
    is_asked_for = found.likely and not force
    could = ['it is in use: it stays, and the detach fails'] if is_asked_for else []
    return acts.plan(
        'removal',
        f'image {found.image}',
        (*_before(found), *each, *last),
        _now(found),
        (*_could(found), *could),
    )


def growth(found: Found) -> acts.Plan:
    """An extend."""
    return acts.plan(
        'growth',
        f'image {found.image}',
        (*_before(found), *(_act(Verb.REFRESH, each) for each in found.likely)),
        _now(found),
        _could(found),
    )


def _now(found: Found) -> Iterator[str]:
    for each in found.here:
        yield f'mapped as {each.mapped}'
    if not found.here:
        yield 'the image is not mapped'


def _could(found: Found) -> Iterable[str]:
    if found.is_asked:
        yield 'the cluster reports another image: what is not the volume is left alone'
