# SPDX-License-Identifier: Apache-2.0
"""Steps of operations whose acts each have one object: a device, a share, a file, an agent."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import enum
from typing import Any

from os_brick.plans import steps


class Link(enum.StrEnum):
    """What is done with the link of an encrypted volume, of whatever protocol."""

    MAKE = 'make link'
    REMOVE = 'remove link'


@dataclasses.dataclass(frozen=True, slots=True)
class Act(steps.FieldsStep):
    """One act.

    :ivar object: what it is done with, in words.
    :ivar number: the kernel's number of a device, which no other one gets.
    :ivar identity: what the object has to be.
    :ivar value: what is made, set or asked.
    :ivar back: what takes it back if the operation fails, in words; empty for nothing.
    """

    verb: enum.StrEnum
    object: str = ''
    number: int | None = None
    identity: str = ''
    value: str = ''
    back: str = ''

    @property
    def taken_back_by(self) -> str:
        """What takes the step back if the operation fails, in words; empty for nothing."""
        return self.back

    def _fields(self) -> dict[str, Any]:
        found = super(Act, self)._fields()
        found.pop('back', None)
        return found

    def __str__(self) -> str:
        return f'{self.verb} {self.object}'.rstrip()


Plan = steps.Plan[Act]


def plan(
    kind: str,
    what: str,
    acts: Iterable[Act],
    now: Iterable[str] = (),
    could: Iterable[str] = (),
) -> Plan:
    """A plan of such steps.

    :param kind: ``attach``, ``removal`` or ``growth``.
    """
    return steps.Plan(kind, what, tuple(acts), tuple(now), tuple(could))


def link_made(*, is_encrypted: bool) -> tuple[Act, ...]:
    """The last step of an attach of an encrypted volume."""
    return (Act(Link.MAKE, back='remove it'),) if is_encrypted else ()


def links_removed(links: Iterable[str]) -> tuple[Act, ...]:
    """The last steps of a detach of an encrypted volume."""
    return tuple(Act(Link.REMOVE, each) for each in links)
