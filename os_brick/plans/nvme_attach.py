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

    LOAD_MODULE = 'load module'
    MAKE_NAME = 'make name'
    MAKE_ID = 'make ID'
    USE_CONTROLLER = 'use controller'
    AWAIT_CONTROLLER = 'wait for controller'
    ASK_PORTAL = 'ask portal'
    CONNECT = 'connect'
    FIND = 'find namespace'
    READ = 'wait until it can be read'
    USE_ONE = 'use the first path by which it can be read'
    SET_POLICY = 'set I/O policy'
    MAKE_LINK = 'make link'


_FORGET = 'forget this use of it'
_TAKEN_BACK_BY = {
    Verb.LOAD_MODULE: 'it stays loaded',
    Verb.MAKE_NAME: 'it stays',
    Verb.MAKE_ID: 'it stays',
    Verb.USE_CONTROLLER: _FORGET,
    Verb.AWAIT_CONTROLLER: _FORGET,
    Verb.CONNECT: 'disconnect, unless another volume is behind it',
    Verb.SET_POLICY: 'it stays',
    Verb.MAKE_LINK: 'remove it',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Step(steps.FieldsStep):
    """One act on a path, or with the namespace that all paths lead to.

    :ivar path: the path, in words; empty for what is done with all of them.
    :ivar controller: the kernel's name of it; empty while there is none.
    :ivar identity: what the namespace has to be, as far as the caller knows.
    :ivar number: the kernel's number of the controller, whose name another one may get.
    :ivar value: what is made or set.
    """

    verb: Verb
    path: str = ''
    controller: str = ''
    identity: str = ''
    number: int | None = None
    value: str = ''

    @property
    def taken_back_by(self) -> str:
        """What takes the step back if the attach fails, in words; empty for none."""
        return _TAKEN_BACK_BY.get(self.verb, '')


Attach = steps.Plan[Step]


@dataclasses.dataclass(frozen=True, slots=True)
class FoundController:
    """A controller at the portal of a path, which keeps another from being made.

    :ivar state: the kernel's word on it.
    :ivar number: the kernel's number of it.
    :ivar is_plain: whether it is connected over TCP without TLS.
    """

    name: str
    is_live: bool
    state: str = ''
    number: int | None = None
    is_plain: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPath:
    """What there is at a portal."""

    portal: str
    controllers: tuple[FoundController, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class FoundHost:
    """What this host has for every attach, or would make.

    :ivar name: empty if it cannot be known before it is made, or its file has something else in it.
    :ivar has_module: whether the kernel can connect.
    """

    name: str
    id: str
    has_module: bool
    has_name: bool
    has_id: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Risks:
    """What decides about what may go otherwise.

    :ivar paths: how many there are, of which so many are ``wanted`` at the end.
    :ivar is_unique: whether the caller knows a name of the namespace, or ``has_nsid``.
    :ivar has_secret: whether this host proves who it is.
    :ivar wants_tls: whether a path is one over TLS.
    :ivar plain: the controllers that are connected without.
    """

    paths: int = 1
    wanted: int = 1
    is_multipath: bool = False
    is_unique: bool = False
    has_nsid: bool = False
    has_secret: bool = False
    wants_tls: bool = False
    plain: tuple[str, ...] = ()


def preparation(host: FoundHost) -> tuple[Step, ...]:
    """What is made before the first path, and stays for every later attach."""
    module = [] if host.has_module else [Step(Verb.LOAD_MODULE, value='nvme-fabrics')]
    if host.has_name and not host.name:  # Its file has something else in it, and is left alone.
        return tuple(module)
    name = [] if host.has_name else [Step(Verb.MAKE_NAME, value=host.name)]
    own_id = [] if host.has_id else [Step(Verb.MAKE_ID, value=host.id)]
    return (*module, *name, *own_id)


def now(
    name: str,
    paths: Iterable[FoundPath],
    devices: Sequence[str],
    undecided: Sequence[str] = (),
    *,
    is_native: bool,
) -> tuple[str, ...]:
    """What there is, in words.

    :param name: by which this host connects.
    :param devices: the namespace, if it is here, as which devices.
    :param undecided: those of which one may be it.
    :param is_native: whether the kernel puts the paths under one device.
    """
    here = 'namespace is not behind these portals yet'
    if devices:
        here = f'namespace is here: {"; ".join(devices)}'
    elif undecided:
        here = f'namespace may be one of: {"; ".join(undecided)}'
    return (
        f'name of this host: {name}',
        *([] if is_native else ["the kernel's own multipath is off: each path is a device"]),
        *(f'{each.portal}: {_in_words(each.controllers)}' for each in paths),
        here,
    )


def _in_words(found: Sequence[FoundController]) -> str:
    return ', '.join(
        f'{each.name} is {each.state or "gone"}{", without TLS" if each.is_plain else ""}'
        for each in found
    ) or ('no controller')


def could(risks: Risks) -> tuple[str, ...]:
    """What may happen else than the steps, in words."""
    return (
        _of_paths(risks),
        _of_identity(risks),
        *_of_secrets(risks),
        'an attach that fails: what it has done is taken back as said, and the host is as before',
    )


def _of_paths(risks: Risks) -> str:
    if risks.paths < 2:
        return 'the portal does not answer: the attach fails'
    if not risks.is_multipath:
        return 'a path does not open: the next is tried'
    if risks.wanted > 1:
        return f'fewer than {risks.wanted} paths open: the attach fails, as multipath is enforced'
    return 'a path does not open in time: it joins later, as long as another has opened'


def _of_identity(risks: Risks) -> str:
    if risks.is_unique:
        return 'a path leads to another namespace: it is not used, and if all do the attach fails'
    known = 'its number may' if risks.has_nsid else 'the only namespace of the subsystem may'
    return f'{known} be another volume by now: vol_uuid or volume_nguid would tell'


def _of_secrets(risks: Risks) -> Iterable[str]:
    if risks.wants_tls and risks.plain:
        yield f'{", ".join(risks.plain)} is connected without TLS, which is wanted: it is not used'
    if risks.has_secret:
        yield 'a portal does not accept the secret, and no other one is tried: the attach fails'


def path_steps(
    path: str, found: Sequence[FoundController], identity: str, *, may_ask: bool
) -> tuple[Step, ...]:
    """The steps on a path.

    :param may_ask: whether its portal can be asked over this host's own network.
    """
    last = Step(Verb.FIND, path, identity=identity)
    live = next((each for each in found if each.is_live), None)
    if live:
        use = Step(Verb.USE_CONTROLLER, path, live.name, number=live.number)
        return (use, dataclasses.replace(last, controller=live.name))
    if found:
        # The kernel is trying to get it back, and makes no other one beside it.
        late = found[0]
        return (Step(Verb.AWAIT_CONTROLLER, path, late.name, number=late.number), last)
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
