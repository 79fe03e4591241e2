# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics, never stuck: unresponsive portals, any state of controllers, dead devices."""

import contextlib
import pathlib
import threading

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet

# Grace on top of a limit: things that are being given up, under emulation.
MARGIN = 4
_ADMIN_TIMEOUT = pathlib.Path('/sys/module/nvme_core/parameters/admin_timeout')


@pytest.fixture
def pair(shelf):
    """A volume behind two portals: (store, subsystem, props)."""
    store, subsystem = nvme_support.served(shelf, 'pair', 2)
    yield store, subsystem, subsystem.properties(1)
    for number in (0, 1):
        subsystem.heal(number)


@pytest.fixture
def impatient(shelf):
    """Commands to a controller that does not answer end after 5 seconds instead of 60."""
    old = lab.shell.read(_ADMIN_TIMEOUT)
    lab.shell.write(_ADMIN_TIMEOUT, 5)
    yield
    lab.shell.write(_ADMIN_TIMEOUT, old)


def healthy_seconds(connector, props):
    """How long an attach takes when nothing is wrong."""
    with support.Stopwatch() as watch:
        info = connector.connect_volume(props)
    connector.disconnect_volume(props, info)
    return watch.seconds


def test_black_holed_portal_of_two(shelf, nvme, pair):
    """One unresponsive portal of two: attach is as soon done as ever, another subsystem's attach is
    not delayed, and the detach leaves nothing."""
    store, _subsystem, props = pair
    _other, beside = nvme_support.served(shelf, 'beside', ['10.99.0.5'])
    healthy = healthy_seconds(nvme, props)
    alone = healthy_seconds(nvme, beside.properties(1))
    lab.net.cut('10.99.0.2')
    with support.Stopwatch() as watch:
        info = nvme.connect_volume(props)
    assert watch.seconds < 1.5 * healthy + 1
    support.assert_is(info['path'], store)
    assert healthy_seconds(nvme, beside.properties(1)) < 1.5 * alone + 1
    with support.Stopwatch() as watch:
        nvme.disconnect_volume(props, info)
    assert watch.seconds < 10


@pytest.mark.parametrize('multipath', [False, True])
def test_every_portal_unresponsive(pair, options, multipath):
    """No portal answers: one deadline for all, with the portal in the message."""
    _store, subsystem, props = pair
    options(operation_timeout=5)
    connector = lab.bricks.ours('NVMEOF', multipath=multipath)
    unresponsive = [(address, 4420, 'tcp') for address in lab.net.UNRESPONSIVE]
    with support.Stopwatch() as watch, pytest.raises(exception.BrickException) as caught:
        connector.connect_volume({**props, 'portals': unresponsive})
    assert watch.seconds < 5 + MARGIN
    assert lab.net.UNRESPONSIVE[0] in str(caught.value)
    assert subsystem.nqn in str(caught.value)


@pytest.mark.parametrize('multipath', [False, True])
def test_namespace_that_never_shows(pair, options, multipath):
    """The target connects and does not have the namespace: the scan time-out, and the portal
    and the namespace in the message; the other volume of the subsystem is not returned."""
    store, subsystem, _props = pair
    options(scan_timeout=2)
    connector = lab.bricks.ours('NVMEOF', multipath=multipath)
    asked = {'ns_id': 7, 'volume_nguid': store.nguid[:-4] + '0000', 'vol_uuid': store.nguid}
    for key, value in asked.items():
        props = subsystem.properties(1, by=(), **{key: value})
        with support.Stopwatch() as watch, pytest.raises(exception.VolumeDeviceNotFound) as caught:
            connector.connect_volume(props)
        assert watch.seconds < (2 if multipath else 4) + MARGIN
        assert subsystem.ports[0].address in str(caught.value)
        assert str(value) in str(caught.value)
        assert not nvme_support.controllers(subsystem)


def test_namespace_that_comes_late(shelf, nvme, pair):
    """A namespace that the array maps a moment after the attach has begun is still found."""
    store, subsystem, props = pair
    subsystem.unmap(1)
    timer = threading.Timer(2, subsystem.map, (1, store))
    timer.start()
    info = nvme.connect_volume(props)
    timer.join()
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)


def test_connecting_controllers(nvme, pair):
    """Controllers that are reconnecting: the attach goes over the healthy one, and where every
    one of them reconnects it waits for the first that is back."""
    store, subsystem, props = pair
    nvmet.connect(subsystem, 0)
    nvme_support.hasten(subsystem)
    subsystem.cut(0)
    nvme_support.wait_cut(subsystem, 0)
    kept = nvme_support.controllers(subsystem)
    with support.Stopwatch() as watch:
        info = nvme.connect_volume(props)
    assert watch.seconds < 5
    support.assert_is(info['path'], store)
    assert kept.items() <= nvme_support.controllers(subsystem).items()
    nvme_support.hasten(subsystem)
    subsystem.cut(1)
    nvme_support.wait_cut(subsystem, 1)
    timer = threading.Timer(2, subsystem.heal, (0,))
    timer.start()
    assert nvme.connect_volume(props) == info
    timer.join()
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)
    nvme_support.disconnect_all(subsystem)


def test_reconnecting_controllers_that_never_come(nvme, pair, options):
    """Every controller reconnects for ever: the deadline, the portal in the message, and the
    controllers, which were there before, survive."""
    _store, subsystem, props = pair
    options(operation_timeout=5)
    for number in (0, 1):
        nvmet.connect(subsystem, number)
        subsystem.cut(number)
        nvme_support.wait_cut(subsystem, number)
    kept = nvme_support.controllers(subsystem)
    with support.Stopwatch() as watch, pytest.raises(exception.BrickException) as caught:
        nvme.connect_volume(props)
    assert watch.seconds < 5 + MARGIN
    assert subsystem.ports[0].address in str(caught.value)
    assert nvme_support.controllers(subsystem) == kept
    nvme_support.disconnect_all(subsystem)


def test_reconnect_delay_off(nvme, pair):
    """A controller whose reconnect_delay reads "off" is not a reason to fail."""
    store, subsystem, props = pair
    name = nvmet.connect(subsystem, 0)
    lab.shell.write(nvme_support.CLASS / name / 'reconnect_delay', 0xFFFFFFFF)
    assert nvme_support.attribute(name, 'reconnect_delay') == 'off'
    subsystem.cut(0)
    nvme_support.wait_cut(subsystem, 0)
    info = nvme.connect_volume(props)
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)
    nvme_support.disconnect_all(subsystem)


@pytest.mark.parametrize('act', ['reset_controller', 'delete_controller'])
def test_controller_that_is_being_taken_down(nvme, pair, impatient, act):
    """A controller in resetting or deleting, whose portal is unresponsive: the attach goes over the
    other one and nothing is left when the unresponsive one answers again."""
    store, subsystem, props = pair
    name = nvmet.connect(subsystem, 0, ctrl_loss_tmo=-1, reconnect_delay=1)
    lab.net.cut(subsystem.ports[0].address)
    path = nvme_support.CLASS / name / act
    thread = threading.Thread(target=write_quietly, args=(path,), daemon=True)
    thread.start()
    wanted = 'resetting' if act == 'reset_controller' else 'deleting'
    nvme_support.wait_state(subsystem, 0, wanted, f'{wanted} (no IO)')
    with support.Stopwatch() as watch:
        info = nvme.connect_volume(props)
    assert watch.seconds < 5
    support.assert_is(info['path'], store)
    lab.net.heal(subsystem.ports[0].address)
    thread.join(20)
    nvme.disconnect_volume(props, info)
    nvme_support.disconnect_all(subsystem)


def write_quietly(path):
    """Write to an attribute that may take long, or go meanwhile."""
    with contextlib.suppress(OSError):
        lab.shell.write(path, 1)


def test_detach_without_paths(nvme, pair, options):
    """Every path is lost: detach ends in time. Either it is done, or it fails and the device is
    kept; then it is done when a path is back."""
    _store, subsystem, props = pair
    info = nvme.connect_volume(props)
    nvme_support.hasten(subsystem)
    for number in (0, 1):
        subsystem.cut(number)
        nvme_support.wait_cut(subsystem, number)
    options(operation_timeout=4)
    with support.Stopwatch() as watch, contextlib.suppress(*support.FAILURES):
        nvme.disconnect_volume(props, info)
    assert watch.seconds < 4 + 2 * MARGIN
    assert len(nvme_support.controllers(subsystem)) in {0, 2}
    for number in (0, 1):
        subsystem.heal(number)
        if nvme_support.controllers(subsystem):
            nvme_support.wait_state(subsystem, number, 'live')
    options(operation_timeout=60)
    nvme.disconnect_volume(props, info)
    assert not nvme_support.controllers(subsystem)


def test_forced_detach_without_paths(nvme, pair, options):
    """The same by force, nothing healed: in time, and nothing is left."""
    _store, subsystem, props = pair
    options(operation_timeout=15)
    info = nvme.connect_volume(props)
    for number in (0, 1):
        subsystem.cut(number)
        nvme_support.wait_cut(subsystem, number)
    with support.Stopwatch() as watch:
        nvme.disconnect_volume(props, info, force=True, ignore_errors=True)
    assert watch.seconds < 15 + MARGIN
    assert not nvme_support.controllers(subsystem)
