# SPDX-License-Identifier: Apache-2.0
"""What is done with volumes that a vendor's agent or server attaches: facts to steps, no I/O.

Neither is asked for a plan. So its answer is a step, with what is checked on this host before and
after it; what depends on the answer is told beside the steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import enum

from os_brick.plans import acts
from os_brick.plans.acts import Act


class Verb(enum.StrEnum):
    """The steps of each vendor's volumes."""

    ASK = 'ask'
    ORDER_ATTACH = 'order attach'
    ORDER_DETACH = 'order detach'
    ORDER_LIMITS = 'order limits'
    AWAIT_DEVICE = 'wait for device'
    READ = 'read'
    CHECK_USERS = 'check users'
    FLUSH = 'flush'
    AWAIT_GONE = 'wait until device has gone'
    RESCAN = 'have client look anew'
    AWAIT_SIZE = 'wait for size'
    DOWNLOAD = 'download'
    WRITE_BACK = 'write back if changed'
    REMOVE_FILE = 'remove file'


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A device of the volume that is here, with the kernel's number of it."""

    path: str
    number: int
    size_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A volume, and what this host tells of it.

    :ivar agent: who attaches it; empty where the caller has that done.
    :ivar devices: its devices.
    :ivar doubtful: devices that may be its, as they have no link.
    """

    what: str
    agent: str = ''
    devices: tuple[Device, ...] = ()
    doubtful: tuple[Device, ...] = ()


def _now(found: Found) -> Iterable[str]:
    for each in found.devices:
        yield f'{each.path} is here, with {each.size_bytes} bytes'
    for each in found.doubtful:
        yield f'no link leads to {each.path}, which may be it'
    if not found.devices:
        yield 'no device of it is known here'


def written_back(device: Device, *, force: bool = False) -> tuple[Act, ...]:
    """The steps before a device is given back; with ``force`` its users are not asked for."""
    check = () if force else (Act(Verb.CHECK_USERS, device.path, device.number),)
    return (*check, Act(Verb.FLUSH, device.path, device.number))


def gone(device: Device) -> Act:
    """The step after a device has been given back."""
    return Act(Verb.AWAIT_GONE, device.path, device.number)


def attach(
    found: Found, steps: Sequence[Act], could: Sequence[str], *, is_encrypted: bool = False
) -> acts.Plan:
    """An attach."""
    last = acts.link_made(is_encrypted=is_encrypted)
    return acts.plan('attach', found.what, (*steps, *last), _now(found), could)


# Huawei's distributed storage.

_ATTACHED = 'whether it is attached'
_PLACE = 'where its device is'


def huawei(operation: str, volume: str, agent: str) -> acts.Plan:
    """An attach or a detach by the storage's program."""
    found = Found(f'volume {volume}', agent)
    if operation == 'detach':
        return acts.plan(
            'removal',
            found.what,
            (Act(Verb.ORDER_DETACH, agent),),
            (f'{agent} is there',),
            ('it is not attached: nothing is done',),
        )
    return acts.plan(
        'attach',
        found.what,
        (
            Act(Verb.ASK, agent, value=_ATTACHED),
            Act(Verb.ORDER_ATTACH, agent, back='order detach, unless it was attached before'),
            Act(Verb.ASK, agent, value=_PLACE),
            Act(Verb.AWAIT_DEVICE),
        ),
        (f'{agent} is there',),
        ('it is attached already: its device is used, and stays if the attach fails',),
    )


# Dell PowerFlex.


def powerflex_attach(found: Found, link: str, *, has_limits: bool, is_encrypted: bool) -> acts.Plan:
    """An attach: mapped at the gateway, or by Cinder before.

    :param link: where its device comes, as far as that is known.
    """
    steps = [Act(Verb.AWAIT_DEVICE, link)]
    could = ['no device comes in time: the attach fails']
    if found.agent:
        back = '' if found.devices else 'order detach'
        limits = [Act(Verb.ORDER_LIMITS, found.agent)] if has_limits else []
        steps = [
            Act(Verb.ASK, found.agent, value='which volume it is'),
            Act(Verb.ORDER_ATTACH, found.agent, back=back),
            *limits,
            *steps,
        ]
        could = ['it is mapped to this host already: it stays so if the attach fails', *could]
    return attach(found, steps, could, is_encrypted=is_encrypted)


def powerflex_detach(found: Found, last: Sequence[Act], *, force: bool = False) -> acts.Plan:
    """A detach."""
    devices = found.devices or found.doubtful
    steps = [step for each in devices for step in written_back(each, force=force)]
    if found.agent:
        ask = Act(Verb.ASK, found.agent, value='which volume it is')
        order = Act(Verb.ORDER_DETACH, found.agent)
        steps = [ask, *steps, order, *map(gone, found.devices[:1])]
    could = [] if force else ['it is in use: nothing is ordered, and the detach fails']
    if not found.agent:
        could.append('its device goes once Cinder has unmapped the volume')
    return acts.plan('removal', found.what, (*steps, *last), _now(found), could)


def powerflex_extend(found: Found) -> acts.Plan:
    """An extend."""
    (device,) = found.devices
    asked = ('which volume it is', 'its size') if found.agent else ()
    steps = [
        *(Act(Verb.ASK, found.agent, value=each) for each in asked),
        Act(Verb.RESCAN),
        Act(Verb.AWAIT_SIZE, device.path, device.number),
    ]
    return acts.plan('growth', found.what, steps, _now(found), _SIZES)


_SIZES = (
    'its size is still that of now: nothing else is done',
    'it has become smaller: the extend fails, and nothing changes',
)


# StorPool.


def storpool_attach(found: Found, access: str, *, is_encrypted: bool) -> acts.Plan:
    """An attach by StorPool's cluster."""
    steps = [
        Act(Verb.ASK, found.agent, value='which volume has the name'),
        Act(Verb.ORDER_ATTACH, found.agent, value=access, back='what was attached before'),
        Act(Verb.AWAIT_DEVICE),
        Act(Verb.READ),
    ]
    could = [
        'it is attached with these rights already: nothing is ordered',
        'another volume has its device or its name by then: the attach fails',
    ]
    return attach(found, steps, could, is_encrypted=is_encrypted)


def storpool_detach(found: Found, last: Sequence[Act]) -> acts.Plan:
    """A detach."""
    steps = [step for each in found.devices for step in written_back(each)]
    return acts.plan(
        'removal',
        found.what,
        (
            Act(Verb.ASK, found.agent, value='which volume it is, and where it is attached'),
            *steps,
            Act(Verb.ORDER_DETACH, found.agent),
            *map(gone, found.devices),
            *last,
        ),
        _now(found),
        (
            'it is in use: nothing is ordered, and the detach fails',
            'it is not attached to this host: nothing is done',
            'its device is that of another volume by now: that is left alone',
        ),
    )


def storpool_extend(found: Found) -> acts.Plan:
    """An extend."""
    (device,) = found.devices
    steps = (
        Act(Verb.ASK, found.agent, value='its size'),
        Act(Verb.AWAIT_SIZE, device.path, device.number),
    )
    return acts.plan('growth', found.what, steps, _now(found), _SIZES[1:])


# VMware's vSphere.


def vmware_attach(what: str, server: str, directory: str) -> acts.Plan:
    """An attach: the disk becomes a file of this host."""
    step = Act(Verb.DOWNLOAD, server, value=directory, back='remove the copy')
    return acts.plan(
        'attach',
        what,
        (step,),
        (f'a copy would be in {directory}',),
        ('the machine has no disk that is known to be the volume: the attach fails',),
    )


def vmware_detach(what: str, server: str, path: str, *, is_changed: bool) -> acts.Plan:
    """A detach: what was written to the copy goes into the place of the disk."""
    words = 'was changed since its attach' if is_changed else 'is as its attach has made it'
    return acts.plan(
        'removal',
        what,
        (Act(Verb.WRITE_BACK, server, value=path), Act(Verb.REMOVE_FILE, path)),
        (f'{path} {words}',),
        (
            'it cannot be written back, or is changed meanwhile: the copy stays, and the detach '
            'fails',
        ),
    )
