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
    assert powerflex.device_of(volume.id) is None
    sdc.appear(volume)
    found = powerflex.device_of(volume.id, double.SYSTEM)
    assert found
    assert (found.path, found.name, found.is_here) == (sdc.link(volume), 'scinia', True)
    assert powerflex.device_of(volume.id, '1' * 16) is None
    sdc.vanish(volume)
    assert not found.is_here


def test_a_name_that_is_given_to_another_volume(
    host: fake_host.Host, gateway: double.Gateway, sdc: scini.Scini
) -> None:
    """The link of the old one is still there for a moment."""
    volume, other = gateway.volume('gold'), gateway.volume('silver')
    sdc.appear(volume)
    found = powerflex.device_of(volume.id)
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
    found = powerflex.device_of(volume.id)
    assert found
    begun = clock.monotonic()
    assert powerflex.wait_grown(found, 8 << 30, None, wait.Deadline.after(60)) == 8 << 30
    assert clock.monotonic() - begun < powerflex.GROWTH_SECONDS + 1
