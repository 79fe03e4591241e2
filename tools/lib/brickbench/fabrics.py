# SPDX-License-Identifier: Apache-2.0
"""The acts with volumes behind Fibre Channel, on the fabric in software."""

import contextlib

from brickbench import comparison, scenarios
from tests.functional import lab

_LUN = 1
_PROTOCOL = 'FIBRE_CHANNEL'


def one(where: comparison.Comparison) -> None:
    """Attach, extend and detach through one port of this host and one of the array."""
    with contextlib.closing(lab.fc.Fabric()) as fabric:
        volume = _served(where, fabric, 'fcone')
        ours, theirs = fabric.initiators[0].wwpn, [fabric.targets[0].wwpn]
        zone = {'target_wwn': theirs, 'initiator_target_map': {ours: theirs}}
        props = fabric.properties(_LUN, **zone)
        scenarios.run(where, 'fc-{}-1', volume, props, paths=1, protocol=_PROTOCOL)


def several(where: comparison.Comparison) -> None:
    """The same through two ports by two, with multipath.

    The reference tells multipathd of no new WWID here, so this is where multipathd takes every
    disk: otherwise it would wait for a map in vain.
    """
    with (
        contextlib.closing(lab.fc.Fabric()) as fabric,
        comparison.multipathd(find_multipaths='no'),
    ):
        volume = _served(where, fabric, 'fcmp')
        paths = len(fabric.initiators) * len(fabric.targets)
        props = fabric.properties(_LUN)
        scenarios.run(where, 'fc-{}-mp', volume, props, paths=paths, protocol=_PROTOCOL)


def _served(where: comparison.Comparison, fabric: lab.fc.Fabric, name: str) -> lab.lio.Volume:
    """A new volume, shown on every port of the array."""
    volume = where.testbed.volume(f'bench{name}', scenarios.MEBIBYTES)
    fabric.map(_LUN, volume)
    return volume
