# SPDX-License-Identifier: Apache-2.0
"""What an attach of a replicated volume does once its members are here: facts to steps, no I/O.

What is done with a mirror is decided by what its members have on them, and they are not here
before. So the steps are those of an array that has been made before, which each attach but the
first one meets; what happens otherwise is told beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import enum

from os_brick.plans import acts, nvme_attach, steps
from os_brick.plans.acts import Act


class Verb(enum.StrEnum):
    """The steps with an array."""

    READ_MEMBERS = 'read what members have on them'
    RUN = 'have array run'
    MAKE = 'make array'


_HOST = (nvme_attach.Verb.LOAD_MODULE, nvme_attach.Verb.MAKE_NAME, nvme_attach.Verb.MAKE_ID)


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """What is known of a replicated volume.

    :ivar count: how many members a new array needs.
    :ivar is_single: whether there is one member, which may be no part of an array.
    """

    count: int
    is_single: bool
    is_encrypted: bool


def attach(
    alias: str, members: Sequence[nvme_attach.Attach], running: Sequence[str], volume: Volume
) -> steps.Plan[steps.Step]:
    """An attach.

    :param members: the plans of the namespaces, which are attached side by side.
    :param running: the arrays that are over them now.
    """
    host, paths = _of_members(members)
    back = '' if running else 'stop it'
    return steps.Plan(
        'attach',
        '; '.join(plan.what for plan in members),
        (
            *host,
            *paths,
            Act(Verb.READ_MEMBERS),
            Act(Verb.RUN, alias, back=back),
            *acts.link_made(is_encrypted=volume.is_encrypted),
        ),
        (*_once(plan.now for plan in members), *map(_over, running)),
        (
            *_once(plan.could for plan in members),
            *_could(volume.count, is_single=volume.is_single),
        ),
    )


def _of_members(
    members: Sequence[nvme_attach.Attach],
) -> tuple[list[nvme_attach.Step], list[nvme_attach.Step]]:
    """What is made for this host, once for all members, and what is done on each one's paths."""
    each = [step for plan in members for step in plan.steps]
    host = dict.fromkeys(step for step in each if step.verb in _HOST)
    return list(host), [step for step in each if step.verb not in _HOST]


def _once(lines: Iterable[Sequence[str]]) -> dict[str, None]:
    return dict.fromkeys(line for each in lines for line in each)


def _over(array: str) -> str:
    return f'array {array} is over members'


def _could(count: int, *, is_single: bool) -> tuple[str, ...]:
    foreign = 'a member has something else on it: it is left alone, and the attach fails'
    if is_single:
        return ('the member is not of an array of this volume: it is used itself', foreign)
    return (
        'a replica cannot be attached: the array runs without it, and takes it back later',
        f'all members are blank: an array is made of them, if there are {count}',
        foreign,
    )
