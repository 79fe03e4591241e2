# SPDX-License-Identifier: Apache-2.0
"""PowerFlex's client and its devices; the connector's tests have the course of a volume."""

import errno

import pytest

from os_brick import exception
from os_brick.core import clock, wait
from os_brick.host import powerflex
from tests.doubles import powerflex as double
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import scini


@pytest.fixture
def gateway() -> double.Gateway:
    return double.Gateway()


@pytest.fixture
def sdc(host: fake_host.Host, gateway: double.Gateway) -> scini.Scini:
    return scini.Scini(host, gateway)


def test_the_client_answers(sdc: scini.Scini) -> None:
    assert powerflex.is_installed()
    assert powerflex.guid() == sdc.guid
    powerflex.rescan()
    assert sdc.rescans == 1


def test_a_client_that_refuses(host: fake_host.Host, sdc: scini.Scini) -> None:
    def refuse(request: int, answer: bytearray) -> None:
        raise OSError(errno.EIO, 'Input/output error')

    host.ioctls[scini.DEVICE] = refuse
    for verb in (powerflex.guid, powerflex.rescan):
        with pytest.raises(exception.BrickException, match='Input/output error'):
            verb()


def test_a_client_that_hangs(host: fake_host.Host, sdc: scini.Scini) -> None:
    host.fail(0, 'hung')
    with pytest.raises(exception.OperationTimedOut, match='PowerFlex client'):
        powerflex.guid()


def test_devices(gateway: double.Gateway, sdc: scini.Scini) -> None:
    volume = gateway.volume('gold')
    assert powerflex.device_of(powerflex.Volume(volume.id)) is None
    sdc.appear(volume)
    found = powerflex.device_of(powerflex.Volume(volume.id, double.SYSTEM))
    assert found
    assert (found.path, found.name, found.is_here) == (sdc.link(volume), 'scinia', True)
    assert powerflex.device_of(powerflex.Volume(volume.id, '1' * 16)) is None
    sdc.vanish(volume)
    assert not found.is_here


@pytest.mark.parametrize(
    ('path', 'ids'),
    [
        ('/dev/disk/by-id/emc-vol-610204D03E3AD60F-BEC108C400000001', True),
        ('/dev/disk/by-id/emc-vol-610204d03e3ad60f-bec108c400000001', True),
        ('/dev/disk/by-id/emc-vol-610204d03e3ad60f-bec108c400000001-part1', False),
        ('/dev/disk/by-id/emc-vol-610204d03e3ad60f-0bec108c400000001', False),
        ('/dev/disk/by-id/emc-vol-bec108c400000001', False),
        ('/dev/disk/by-id/../by-id/emc-vol-610204d03e3ad60f-bec108c400000001', False),
        ('/tmp/emc-vol-610204d03e3ad60f-bec108c400000001', False),
        ('emc-vol-610204d03e3ad60f-bec108c400000001', False),
        ('/dev/scinia', False),
        ('', False),
    ],
)
def test_the_volume_that_a_link_is_named_after(path: str, ids: bool) -> None:
    wanted = powerflex.Volume('bec108c400000001', double.SYSTEM)
    assert powerflex.volume_of(path) == (wanted if ids else None)


def test_a_name_that_is_given_to_another_volume(
    host: fake_host.Host, gateway: double.Gateway, sdc: scini.Scini
) -> None:
    """The link of the old one is still there for a moment."""
    volume, other = gateway.volume('gold'), gateway.volume('silver')
    sdc.appear(volume)
    found = powerflex.device_of(powerflex.Volume(volume.id))
    assert found
    sdc.vanish(volume)
    sdc._next = 0
    sdc.appear(other)
    host.tree.link(sdc.link(volume), '/dev/scinia')
    assert not found.is_here


def test_growth_without_a_gateway_is_waited_for_a_moment(
    gateway: double.Gateway, sdc: scini.Scini
) -> None:
    volume = gateway.volume('gold')
    sdc.appear(volume)
    found = powerflex.device_of(powerflex.Volume(volume.id))
    assert found
    begun = clock.monotonic()
    assert powerflex.wait_grown(found, 8 << 30, None, wait.Deadline.after(60)) == 8 << 30
    assert clock.monotonic() - begun < powerflex.GROWTH_SECONDS + 1
