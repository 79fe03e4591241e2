# SPDX-License-Identifier: Apache-2.0
"""What an operation asks of a host with many volumes is what it asks of an empty one."""

from collections.abc import Callable
import contextlib
import pathlib
from typing import Any

import pytest

from os_brick.core import process
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof
from tests.unit import costs, seams
from tests.unit.fakehost import array, fabric, nvme
from tests.unit.fakehost import host as fake_host

OTHERS = (8, 64)
# What is forgotten of volumes that have gone is looked for a few at a time.
_LOOKED_AT = 8

New = Callable[[int], dict[str, Any]]


def iscsi_life(
    place: pathlib.Path, stack: contextlib.ExitStack, portals: int, *, plural: bool
) -> tuple[Any, New]:
    host = stack.enter_context(fake_host.Host(place))

    def new(number: int) -> dict[str, Any]:
        target = host.target(f't{number}', portals=portals)
        target.luns[1] = array.Unit(f'gold{number}')
        return target.properties(plural=plural)

    return iscsi.ISCSIConnector(None, use_multipath=portals > 1), new


def iscsi_one(place: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Any, New]:
    return iscsi_life(place, stack, 1, plural=True)


def iscsi_asked(place: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Any, New]:
    """Its properties name one portal: the volume may be behind others, found by discovery."""
    return iscsi_life(place, stack, 1, plural=False)


def iscsi_four(place: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Any, New]:
    return iscsi_life(place, stack, 4, plural=True)


def fibre_channel_one(place: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Any, New]:
    host = stack.enter_context(fabric.FabricHost(place))
    storage = host.storage()
    host.adapter(storage)

    def new(number: int) -> dict[str, Any]:
        storage.luns[number] = array.Unit(f'gold{number}')
        return storage.properties(number)

    return fibre_channel.FibreChannelConnector(None, use_multipath=True), new


def nvme_one(place: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Any, New]:
    stack.enter_context(process.use(seams.Programs({})))
    stack.enter_context(nvme.configured(place.parent))
    host = stack.enter_context(nvme.Fabric(place, native=True))

    def new(number: int) -> dict[str, Any]:
        subsystem = host.subsystem(f's{number}')
        subsystem.namespaces[1] = nvme.Volume(f'gold{number}')
        return subsystem.properties(1)

    return nvmeof.NVMeOFConnector(None, use_multipath=True), new


def life(brick: Any, props: dict[str, Any]) -> list[costs.Counter]:
    """Attach, growth and detach of a volume, each counted."""
    counters = [costs.Counter() for _ in range(3)]
    with counters[0]:
        info = brick.connect_volume(props)
    with counters[1]:
        brick.extend_volume({**props, 'device_path': info['path']})
    with counters[2]:
        brick.disconnect_volume(props, info)
    return counters


@pytest.mark.parametrize(
    ('kind', 'late', 'accesses_per_other'),
    [
        (iscsi_one, 0, 0),
        # One page of each disk with the same LUN tells that it is another volume.
        (iscsi_asked, 0, 1.1),
        (iscsi_four, 4, 0),
        (fibre_channel_one, 0, 0),
        (nvme_one, 0, 0),
    ],
)
def test_other_volumes_cost_nothing(
    tmp_path: pathlib.Path, kind: Any, late: int, accesses_per_other: float
) -> None:
    (tmp_path / 'root').mkdir()
    with contextlib.ExitStack() as stack:
        brick, new = kind(tmp_path / 'root', stack)
        life(brick, new(1))
        alone = life(brick, new(2))
        numbers = iter(range(3, 1000))
        there = 0
        for others in OTHERS:
            for _ in range(others - there):
                brick.connect_volume(new(next(numbers)))
            there = others
            life(brick, new(next(numbers)))
            beside = life(brick, new(next(numbers)))
            for before, after in zip(alone, beside, strict=True):
                most = 1.2 * before.accesses + _LOOKED_AT + accesses_per_other * others
                assert after.accesses <= most, others
                # A disk to which multipathd has not come by itself is offered by a call of its own.
                assert after.root_calls <= before.root_calls + late, others
