# SPDX-License-Identifier: Apache-2.0
"""One path of a Fibre Channel volume: its ports, its disk, and what takes the disk back."""

from collections.abc import Iterator
import json
import pathlib
import threading
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.host import fc_platform, scsi
from os_brick.model import settings
from os_brick.paths import fibre_channel
from os_brick.paths.attempt import Attempt
from os_brick.plans.attach import Verb
from os_brick.request import fibre_channel as request_fc
from tests.unit.fakehost import array, fabric

Host = fabric.FabricHost
SETTINGS = settings.Settings(operation_seconds=60.0)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


@pytest.fixture
def storage(host: Host) -> fabric.Storage:
    """An array of one port with the volume gold, LUN 1; two adapters see it."""
    found = host.storage()
    found.luns[1] = array.Unit('gold')
    for _ in range(2):
        host.adapter(found)
    return found


def driver(storage: fabric.Storage, **more: Any) -> fibre_channel.Driver:
    request = request_fc.FcRequest.parse(storage.properties(**more))
    platform = fc_platform.GENERIC
    return fibre_channel.Driver(fibre_channel.Options(request, platform, 3, 10.0, 5.0))


def paths(of: fibre_channel.Driver) -> list[fibre_channel.Path]:
    return fibre_channel.paths_of(of.options.request, of.options.platform)


def verbs(of: fibre_channel.Driver, path: fibre_channel.Path) -> list[Verb]:
    return [step.verb for step in of.steps(path)]


def open_path(of: fibre_channel.Driver, path: fibre_channel.Path) -> tuple[Any, list[undo.Data]]:
    """The open path, and the steps that take it back."""
    with operation.begin('connect', {}, (locks.VOLUME, 'x'), SETTINGS) as op:
        attempt = Attempt(
            *(str(path), threading.Condition(), op.lock, op.work, lambda: True),
            ask=True,
            clean_up_seconds=5.0,
        )
        try:
            with attempt.made.on_error():
                opened = of.open(path, attempt)
            return opened, json.loads(json.dumps(attempt.made.steps()))
        finally:
            attempt.end()


def test_each_pair_of_ports_is_a_path(host: Host, storage: fabric.Storage) -> None:
    one, two = paths(driver(storage))
    assert {path.remote.wwpn for path in (one, two)} == set(storage.ports)
    assert {path.port.host for path in (one, two)} == {each.host for each in host.adapters}
    assert (one.lun, one.is_usable) == (1, True)


def test_a_port_that_is_down_is_told(host: Host, storage: fabric.Storage) -> None:
    of = driver(storage)
    one, two = paths(of)
    host.pull(next(each for each in host.adapters if each.host == one.port.host))
    (now,) = [path for path in paths(of) if path.address == one.address]
    assert verbs(of, now) == [Verb.CHECK_PORT, Verb.SCAN, Verb.VERIFY]
    with pytest.raises(fibre_channel.PortDown, match=str(now.port.host)):
        of.reachable(now, wait.Deadline.after(1), ask=True)
    assert verbs(of, two) == [Verb.SCAN, Verb.VERIFY]
    # No array has answered: whether it has the volume is not known.
    assert not of.reachable(two, wait.Deadline.after(1), ask=True)


def test_a_path_is_opened_and_taken_back_by_its_steps(host: Host, storage: fabric.Storage) -> None:
    of = driver(storage)
    before = host.snapshot()
    opened, steps = open_path(of, paths(of)[0])
    (disk,) = opened.disks
    assert (host.disks[disk.name].unit.name, disk.is_new) == ('gold', True)
    assert len(host.disks) == 1
    host.settle()
    assert undo.replay(steps) == []
    assert host.snapshot() == before


def test_a_disk_that_was_there_is_not_taken_back(host: Host, storage: fabric.Storage) -> None:
    of = driver(storage)
    path = paths(of)[0]
    open_path(of, path)
    host.settle()
    assert verbs(of, path) == [Verb.VERIFY]
    opened, steps = open_path(of, path)
    assert (opened.disks[0].is_new, steps) == (False, [])


def test_a_lun_that_is_not_there_names_the_path(host: Host, storage: fabric.Storage) -> None:
    of = driver(storage, lun=7)
    before = host.snapshot()
    path = paths(of)[0]
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound, match='no disk appears') as e:
        open_path(of, path)
    assert str(path) in str(e.value)
    assert host.snapshot() == before


def test_another_volume_than_expected_goes_again(host: Host, storage: fabric.Storage) -> None:
    of = driver(storage, expected_wwid=array.Unit('x').wwid)
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch):
        open_path(of, paths(of)[0])
    assert host.snapshot() == before


def test_another_ports_disk_at_the_address_stays(host: Host, storage: fabric.Storage) -> None:
    """The kernel has given the number of a port that has gone to another one."""
    of = driver(storage)
    path = paths(of)[0]
    open_path(of, path)
    gone = fibre_channel.plain(path)
    gone['remote']['wwpn'] = '500a098000000000'
    fibre_channel.delete_disk(gone, 5.0)
    assert scsi.disk_at(path.address) is not None
    fibre_channel.delete_disk(fibre_channel.plain(path), 5.0)
    assert scsi.disk_at(path.address) is None


def test_read_only_disks_are_waited_for_unless_the_volume_is(
    host: Host, storage: fabric.Storage, caplog: pytest.LogCaptureFixture
) -> None:
    of = driver(storage)
    opened, _ = open_path(of, paths(of)[0])
    place = f'/sys/class/block/{opened.disks[0].name}/ro'
    host.tree.value(place, 1)
    host.clock.after(3, lambda: host.tree.value(place, 0))
    begun = host.clock.monotonic()
    of.prepare(opened.disks, wait.Deadline.after(60))
    assert 2 < host.clock.monotonic() - begun < 6
    host.tree.value(place, 1)
    of.prepare(opened.disks, wait.Deadline.after(2))
    assert 'are read-only' in caplog.text
    begun = host.clock.monotonic()
    driver(storage, access_mode='ro').prepare(opened.disks, wait.Deadline.after(60))
    assert host.clock.monotonic() - begun < 0.5


def test_what_is_missing_is_named_by_port(host: Host, storage: fabric.Storage) -> None:
    host.lose(host.adapters[0].remotes[0])
    text = fibre_channel.missing(driver(storage).options.request)
    first, second = text.split('; ')
    assert host.adapters[0].wwpn in first
    assert storage.ports[0] in second
