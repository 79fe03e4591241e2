# SPDX-License-Identifier: Apache-2.0
"""The array gives the LUN to another volume on one of two paths, and the host has not noticed."""

import contextlib

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


def flush_targets(host: fake_host.Host, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The units that a flush of a device may write to, from now on."""
    reached: list[str] = []
    flushed = host.flushed

    def note(name: str) -> None:
        found = host.maps.get(name)
        for disk in found.disks if found else [host.disks[name]]:
            reached.append(disk.session.target.luns[disk.lun].name)
        flushed(name)

    monkeypatch.setattr(host, 'flushed', note)
    return reached


@pytest.mark.parametrize('informed', [True, False])
@pytest.mark.parametrize('force', [True, False])
def test_detach_writes_nothing_to_the_other_volume(
    host: fake_host.Host, monkeypatch: pytest.MonkeyPatch, force: bool, informed: bool
) -> None:
    """The map has a path to each volume: a flush of it takes any of them."""
    one, two = host.target('one'), host.target('two')
    one.luns[1] = two.luns[1] = array.Unit('gold')
    props = {
        'target_portals': [str(one.portals[0]), str(two.portals[0])],
        'target_iqns': [one.iqn, two.iqn],
        'target_luns': [1, 1],
    }
    before = host.snapshot()
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    info = brick.connect_volume(props)
    two.luns[1] = array.Unit('silver')
    reached = flush_targets(host, monkeypatch)
    with contextlib.suppress(exception.BrickException):
        brick.disconnect_volume(props, info if informed else None, force=force)
    assert reached == ['gold']
    assert host.snapshot() == before
