# SPDX-License-Identifier: Apache-2.0
"""Every single step of an attach, an extend or a detach over Fibre Channel goes wrong once.

After an attach that failed the host is as before; after a detach that failed, one more detach
leaves it so.
"""

from collections.abc import Callable
import contextlib
import pathlib

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.initiator.connectors import fibre_channel, fibre_channel_s390x
from tests import breadth
from tests.unit.fakehost import array, fabric, zfcp

# What a caller may have to catch; anything else is a bug.
ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
HOWS = ('refused', 'hung', 'late')
# More acts than an operation of these tests has: then the fault no longer strikes.
MANY = 120

Connector = fibre_channel.FibreChannelConnector
Course = Callable[[fabric.FabricHost, Connector, fabric.Storage], str]


def attach(host: fabric.FabricHost, brick: Connector, storage: fabric.Storage) -> str:
    try:
        info = brick.connect_volume(storage.properties())
    except ERRORS as error:
        host._fault = None
        return f'attach: {error}'
    host._fault = None
    brick.disconnect_volume(storage.properties(), info)
    return ''


def detach(host: fabric.FabricHost, brick: Connector, storage: fabric.Storage) -> str:
    fault, host._fault = host._fault, None
    assert fault is not None
    info = brick.connect_volume(storage.properties())
    host.fail(fault.number, fault.how)
    try:
        brick.disconnect_volume(storage.properties(), info)
    except ERRORS as error:
        host._fault = None
        brick.disconnect_volume(storage.properties(), info)
        return f'detach: {error}'
    return ''


def forced(host: fabric.FabricHost, brick: Connector, storage: fabric.Storage) -> str:
    """A forced detach goes on after the fault; the disk whose removal it struck may stay."""
    fault, host._fault = host._fault, None
    assert fault is not None
    info = brick.connect_volume(storage.properties())
    host.fail(fault.number, fault.how)
    brick.disconnect_volume(storage.properties(), info, force=True, ignore_errors=True)
    host._fault = None
    brick.disconnect_volume(storage.properties(), info)
    return ''


def extend(host: fabric.FabricHost, brick: Connector, storage: fabric.Storage) -> str:
    fault, host._fault = host._fault, None
    assert fault is not None
    info = brick.connect_volume(storage.properties())
    storage.luns[1].megabytes = 96
    host.fail(fault.number, fault.how)
    try:
        assert brick.extend_volume(storage.properties()) == 96 << 20
    except ERRORS:
        host._fault = None
        assert brick.extend_volume(storage.properties()) == 96 << 20
    host._fault = None
    brick.disconnect_volume(storage.properties(), info)
    return ''


def killed_then_detached(host: fabric.FabricHost, brick: Connector, storage: fabric.Storage) -> str:
    """The process is killed in an attach; another one detaches."""
    with contextlib.suppress(*ERRORS):
        brick.connect_volume(storage.properties())
    host.settle()
    host._fault = None
    brick.disconnect_volume(storage.properties(), None)
    return ''


def killed_then_attached(host: fabric.FabricHost, brick: Connector, storage: fabric.Storage) -> str:
    """The process is killed in an attach; another one attaches."""
    with contextlib.suppress(*ERRORS):
        brick.connect_volume(storage.properties())
    host.settle()
    host._fault = None
    info = brick.connect_volume(storage.properties())
    assert info['scsi_wwn'] == storage.luns[1].wwid
    brick.disconnect_volume(storage.properties(), info)
    return ''


def _round(
    place: pathlib.Path, course: Course, number: int, how: str, machine: str, *, multipath: bool
) -> tuple[str, list[str]]:
    """What the fault struck, if anything, and what is left."""
    place.mkdir()
    with fabric.FabricHost(place) as host:
        storage = host.storage(ports=1)
        storage.luns[1] = array.Unit()
        kind = Connector
        for device in ('0.0.3080', '0.0.3181'):
            z = f'/sys/devices/css0/0.0.0013/{device}'
            host.adapter(storage, place=z if machine == 's390x' else '')
            if machine == 's390x':
                kind = fibre_channel_s390x.FibreChannelConnectorS390X
                host.tree.file(f'{zfcp.DRIVER}/{device}/port_rescan', '1')
        before = host.snapshot()
        brick = kind(None, use_multipath=multipath)
        host.fail(number, how)
        said = course(host, brick, storage)
        host._fault = None
        after = host.snapshot()
        left = sorted(name for name in before | after if before.get(name) != after.get(name))
        notes = [f'{how} at act {number}, {host.struck}', said, *left] if left else []
        return host.struck, notes


CASES = [
    *((attach, True, how, 'x86') for how in HOWS),
    *((attach, False, how, 'x86') for how in HOWS),
    *((detach, True, how, 'x86') for how in HOWS),
    (detach, False, 'late', 'x86'),
    (forced, True, 'refused', 'x86'),
    (forced, False, 'hung', 'x86'),
    (extend, True, 'late', 'x86'),
    *((attach, True, how, 's390x') for how in HOWS),
    (detach, True, 'refused', 's390x'),
    *((killed_then_detached, multipath, 'killed', 'x86') for multipath in (False, True)),
    (killed_then_detached, True, 'killed', 's390x'),
    (killed_then_attached, True, 'killed', 'x86'),
    (detach, True, 'killed', 'x86'),
]


@pytest.mark.parametrize(('course', 'multipath', 'how', 'machine'), CASES)
def test_nothing_is_left(
    tmp_path: pathlib.Path, course: Course, multipath: bool, how: str, machine: str
) -> None:
    bad: list[str] = []
    number = 0
    for number in breadth.acts(CASES.index((course, multipath, how, machine)), 2, MANY):
        place = tmp_path / str(number)
        what, left = _round(place, course, number, how, machine, multipath=multipath)
        bad += left
        if not what:
            break
    assert number > 1, 'the operation has hardly a step: the fault never struck'
    assert number < MANY - 2
    assert not bad, '\n'.join(bad)
