# SPDX-License-Identifier: Apache-2.0
"""What an attach of an NVMe namespace does on each of its paths: facts to steps, no I/O.

The twin of ``plans/attach``, which has SCSI's. Controllers come and go under an attach, so a path
is looked at, and its steps are made, whenever its turn comes; what is printed before is made by the
same functions of the same facts, only earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import enum
import errno

from os_brick.plans import steps


class Verb(enum.StrEnum):
    """The steps of an attach."""

    USE_CONTROLLER = 'use controller'
    AWAIT_CONTROLLER = 'wait for controller'
    ASK_PORTAL = 'ask portal'
    CONNECT = 'connect'
    FIND = 'find namespace'
    READ = 'wait until it can be read'
    USE_ONE = 'use the first path by which it can be read'


@dataclasses.dataclass(frozen=True, slots=True)
class Step(steps.FieldsStep):
    """One act on a path, or with the namespace that all paths lead to.

    :ivar path: the path, in words; empty for what is done with all of them.
    :ivar controller: the kernel's name of it; empty while there is none.
    :ivar identity: what the namespace has to be, as far as the caller knows.
    """

    verb: Verb
    path: str = ''
    controller: str = ''
    identity: str = ''


Attach = steps.Plan[Step]


@dataclasses.dataclass(frozen=True, slots=True)
class FoundController:
    """A controller at the portal of a path, which keeps another from being made."""

    name: str
    is_live: bool


def path_steps(
    path: str, found: Sequence[FoundController], identity: str, *, may_ask: bool
) -> tuple[Step, ...]:
    """The steps on a path.

    :param may_ask: whether its portal can be asked over this host's own network.
    """
    last = Step(Verb.FIND, path, identity=identity)
    live = next((each.name for each in found if each.is_live), '')
    if live:
        return (Step(Verb.USE_CONTROLLER, path, live), dataclasses.replace(last, controller=live))
    if found:
        # The kernel is trying to get it back, and makes no other one beside it.
        return (Step(Verb.AWAIT_CONTROLLER, path, found[0].name), last)
    asked = [Step(Verb.ASK_PORTAL, path)] if may_ask else []
    return (*asked, Step(Verb.CONNECT, path), last)


def attach(
    what: str, paths: Iterable[tuple[Step, ...]], identity: str, *, is_multipath: bool
) -> Attach:
    """The whole attach: its paths side by side, then the namespace they lead to."""
    last = Step(Verb.READ if is_multipath else Verb.USE_ONE, identity=identity)
    return steps.Plan('attach', what, (*(step for path in paths for step in path), last))


def controller_of(found: Iterable[Step], verb: Verb) -> str:
    """The controller of the first step of a verb; empty if there is none."""
    return next((step.controller for step in found if step.verb is verb), '')


def has(found: Iterable[Step], verb: Verb) -> bool:
    """Whether there is a step of a verb."""
    return any(step.verb is verb for step in found)


# What the kernel's numbers mean here (drivers/nvme/host/fabrics.c, auth.c).
_WORDS = {
    errno.EINVAL: 'the kernel refuses the options (another host ID or name in use?)',
    errno.ECONNREFUSED: 'no service listens there',
    errno.EKEYREJECTED: 'authentication has failed',
    errno.EACCES: 'the subsystem does not let this host in',
}


def in_words(error: OSError) -> str:
    """The error of a connection in the words of who has to do something about it."""
    words = _WORDS.get(error.errno or 0)
    return f'{words} ({error})' if words else str(error)
