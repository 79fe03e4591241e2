# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: paths that come, go and change their state while I/O goes on."""

import time

import pytest

from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet

# More than the reconnect delay of ``hasten`` and one try, under emulation.
BACK_SECONDS = 30


@pytest.mark.parametrize('transport', ['tcp', 'rdma', 'fc'])
def test_path_cut_and_healed(shelf, nvme, transport):
    """Each path is cut and healed in turn, for each transport: I/O goes on, no controller is
    lost, and attach, extend and detach know the device all the time."""
    store, subsystem = nvme_support.served(shelf, f'cut{transport}', 2, transport)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    nvme_support.wait_paths(info['path'], 2)
    nvme_support.hasten(subsystem)
    with nvme_support.Traffic(info['path'], store, lenient=transport == 'fc') as traffic:
        for number in (0, 1):
            subsystem.cut(number)
            nvme_support.wait_cut(subsystem, number)
            traffic.step()
            assert nvme.extend_volume(props) == store.size
            subsystem.heal(number)
            nvme_support.wait_state(subsystem, number, 'live', seconds=BACK_SECONDS)
            traffic.step()
    nvme_support.wait_paths(info['path'], 2)
    nvme.disconnect_volume(props, info)
    assert not nvme_support.controllers(subsystem)


def test_ana_changes(shelf, nvme):
    """ANA states change at run time: I/O follows the usable path, growing goes on, and a volume
    of another group is not concerned."""
    store, subsystem = nvme_support.served(shelf, 'ana', 2)
    other = shelf.store('anaother')
    support.stamp(other)
    for port in subsystem.ports:
        port.ana('optimized', group=2)
    subsystem.map(2, other, group=2)
    props, beside = subsystem.properties(1), subsystem.properties(2)
    info, second = nvme.connect_volume(props), nvme.connect_volume(beside)
    with nvme_support.Traffic(info['path'], store) as traffic:
        for first, then in (
            ('optimized', 'non-optimized'),
            ('inaccessible', 'optimized'),
            ('optimized', 'inaccessible'),
            ('inaccessible', 'non-optimized'),
        ):
            subsystem.ports[0].ana('optimized')
            subsystem.ports[1].ana(then if then != 'inaccessible' else 'optimized')
            subsystem.ports[0].ana(first)
            subsystem.ports[1].ana(then)
            traffic.step()
            support.assert_is(second['path'], other)
        bigger = store.grow(48)
        assert nvme.extend_volume(props) == bigger
    nvme.disconnect_volume(props, info)
    subsystem.unmap(1)
    support.assert_is(second['path'], other)
    nvme.disconnect_volume(beside, second)


def test_every_path_lost_for_a_while(shelf, nvme):
    """With no path left I/O waits, and goes on without an error when one is back."""
    store, subsystem = nvme_support.served(shelf, 'while', 2)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    nvme_support.wait_paths(info['path'], 2)
    nvme_support.hasten(subsystem)
    with nvme_support.Traffic(info['path'], store) as traffic:
        try:
            for number in (0, 1):
                subsystem.cut(number)
                nvme_support.wait_cut(subsystem, number)
            time.sleep(3)
        finally:
            for number in (0, 1):
                subsystem.heal(number)
        traffic.step(BACK_SECONDS)
    nvme.disconnect_volume(props, info)


def test_path_that_comes_later(shelf, nvme):
    """A portal that refuses at the attach joins when it is there; after the detach none does."""
    store, subsystem = nvme_support.served(shelf, 'later', 2)
    props = subsystem.properties(1)
    subsystem.cut(1)
    info = nvme.connect_volume(props)
    support.assert_is(info['path'], store)
    assert len(nvme_support.paths(info['path'])) == 1
    subsystem.heal(1)
    lab.shell.until(lambda: len(nvme_support.paths(info['path'])) == 2, 60, 'it joins', 0.2)
    nvme.disconnect_volume(props, info)
    assert not nvme_support.controllers(subsystem)
    subsystem.cut(1)
    info = nvme.connect_volume(props)
    nvme.disconnect_volume(props, info)
    subsystem.heal(1)
    time.sleep(3)
    assert not nvme_support.controllers(subsystem)


def test_lost_path_is_made_again_by_an_attach(shelf, nvme):
    """A controller that someone removed is made again by the next attach of the same volume,
    whose answer is the same."""
    store, subsystem = nvme_support.served(shelf, 'again', 2)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    nvme_support.wait_paths(info['path'], 2)
    nvmet.disconnect(nvme_support.controller_at(subsystem, 0))
    assert len(nvme_support.controllers(subsystem)) == 1
    assert nvme.connect_volume(props) == info
    nvme_support.wait_paths(info['path'], 2)
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)
