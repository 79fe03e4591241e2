# SPDX-License-Identifier: Apache-2.0
"""How many calls of root functions an operation makes: each is a trip to the daemon of a service.

These are limits: on a host where all is well, no operation makes more.
"""

import contextlib
import dataclasses
import pathlib
from typing import Any

import pytest

from os_brick.initiator.connectors import fibre_channel, iscsi
from tests.unit import costs
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host


@dataclasses.dataclass(frozen=True)
class Most:
    """The limits of one kind of volume.

    :ivar attach: without the offers of disks to multipathd, of which a busy machine needs more.
    :ivar attach_in_all: with them.
    """

    attach: int
    attach_in_all: int
    extend: int
    detach: int


TRIES = 5
# Attach: daemon and WWID of multipath, what multipathd knows, the last proof; with two calls a path
# of iSCSI, one of Fibre Channel. Extend: one a path, and the map.
LIMITS = {
    ('iscsi', 1, False): Most(attach=3, attach_in_all=3, extend=1, detach=6),
    ('iscsi', 4, True): Most(attach=13, attach_in_all=16, extend=5, detach=10),
    ('fc', 1, False): Most(attach=2, attach_in_all=2, extend=1, detach=4),
    ('fc', 1, True): Most(attach=5, attach_in_all=5, extend=2, detach=6),
    ('fc', 4, True): Most(attach=8, attach_in_all=8, extend=5, detach=5),
}


def volume(
    place: pathlib.Path, stack: contextlib.ExitStack, kind: str, paths: int, *, multipath: bool
) -> tuple[fake_host.Host, Any, dict[str, Any], array.Unit]:
    """A host, a connector, the properties of a volume, and the volume."""
    unit = array.Unit('gold')
    if kind == 'fc':
        fabric_host = stack.enter_context(fabric.FabricHost(place))
        storage = fabric_host.storage(ports=paths)
        fabric_host.adapter(storage)
        storage.luns[1] = unit
        brick: Any = fibre_channel.FibreChannelConnector(None, use_multipath=multipath)
        return fabric_host, brick, storage.properties(1), unit
    host = stack.enter_context(fake_host.Host(place))
    target = host.target(portals=paths)
    target.luns[1] = unit
    brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
    return host, brick, target.properties(plural=multipath), unit


def counted(place: pathlib.Path, kind: str, paths: int, *, multipath: bool) -> Most:
    """What one life of a volume has needed."""
    with contextlib.ExitStack() as stack:
        host, brick, props, unit = volume(place, stack, kind, paths, multipath=multipath)
        attach, extend, detach = (costs.Counter() for _ in range(3))
        with attach:
            info = brick.connect_volume(props)
        # Each is a call of its own; how many there are is a matter of how fast this machine is.
        offers = sum(act.startswith('multipathd add path') for act in host.acts)
        unit.megabytes += 32
        with extend:
            brick.extend_volume({**props, 'device_path': info['path']})
        with detach:
            brick.disconnect_volume(props, info)
    return Most(attach.root_calls - offers, attach.root_calls, extend.root_calls, detach.root_calls)


@pytest.mark.parametrize(('kind', 'paths', 'multipath'), LIMITS)
def test_root_calls(tmp_path: pathlib.Path, kind: str, paths: int, multipath: bool) -> None:
    """The least of some tries: where this machine is busy, multipathd is asked once more."""
    most = LIMITS[kind, paths, multipath]
    found = []
    for number in range(TRIES):
        (tmp_path / str(number)).mkdir()
        found.append(counted(tmp_path / str(number), kind, paths, multipath=multipath))
        if all(map(int.__le__, dataclasses.astuple(found[-1]), dataclasses.astuple(most))):
            return
    pytest.fail(f'{found} are above {most}')
