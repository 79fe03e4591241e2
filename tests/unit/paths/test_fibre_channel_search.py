# SPDX-License-Identifier: Apache-2.0
"""The search for paths: where ports are shown they are waited for; where not, all is scanned."""

from collections.abc import Iterator
import contextlib
import json
import pathlib

import pytest

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.host import fc_platform
from os_brick.model import settings
from os_brick.paths import fibre_channel, fibre_channel_search
from os_brick.request import fibre_channel as request_fc
from tests.unit.fakehost import array, daemon, fabric

Host = fabric.FabricHost
SETTINGS = settings.Settings(operation_seconds=60.0)
SECONDS = 10.0


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


class Failed(Exception):
    """What comes after the search goes wrong."""


def search(
    storage: fabric.Storage, *, then_fail: bool = False, **more: bool
) -> tuple[list[fibre_channel.Path], set[str], list[undo.Data]]:
    """The paths, where a scan has added disks of the volume, and the steps that remove them."""
    request = request_fc.FcRequest.parse(storage.properties(**more))
    with operation.begin('connect', {}, (locks.VOLUME, 'x'), SETTINGS) as op:
        one = fibre_channel_search.Search(request, fc_platform.GENERIC, op)
        found = one.run(wait.Deadline.after(SECONDS))
        steps = json.loads(json.dumps(op.undo.steps()))
        if then_fail:
            raise Failed
    return found, {str(place) for place in one.added_by_scan}, steps


def units(host: Host) -> set[str]:
    return {disk.unit.name for disk in host.disks.values()}


@pytest.fixture
def hidden(host: Host) -> tuple[fabric.Storage, fabric.Adapter]:
    return hidden_in(host)


def hidden_in(host: Host) -> tuple[fabric.Storage, fabric.Adapter]:
    """The volume gold, and a foreign one of the same LUN, behind an adapter that shows neither."""
    host.tells_nothing = True
    storage, foreign = host.storage(), host.storage()
    storage.luns[1], foreign.luns[1] = array.Unit('gold'), array.Unit('foreign')
    adapter = host.adapter(storage)
    host.see(adapter, foreign, foreign.ports[0])
    return storage, adapter


def test_ports_that_are_shown_are_not_scanned(host: Host) -> None:
    storage = host.storage(ports=2)
    host.adapter(storage)
    dead = host.adapter(storage)
    host.pull(dead)
    found, added, steps = search(storage)
    assert [path.is_usable for path in found] == [True, True, False, False]
    assert (added, steps, host.scans) == (set(), [], [])


def test_a_port_that_logs_in_late_is_waited_for(host: Host) -> None:
    storage = host.storage()
    adapter = host.adapter(storage)
    host.pull(adapter)
    host.clock.after(1, lambda: host.plug(adapter))
    (path,) = search(storage)[0]
    assert path.is_usable
    assert host.scans == []


def test_a_wide_scan_leaves_only_the_volumes_own_disks(
    host: Host, hidden: tuple[fabric.Storage, fabric.Adapter]
) -> None:
    storage, adapter = hidden
    before = host.snapshot()
    found, added, steps = search(storage)
    host.settle()
    assert host.scans == [(adapter.host, '- - 1')]
    assert units(host) == {'gold'}
    assert {str(path.address) for path in found} == added
    # Another process can take back what the scan has brought.
    assert undo.replay(steps) == []
    host.settle()
    assert not host.disks
    assert before.keys() >= host.snapshot().keys() or not units(host)


def test_what_it_has_brought_goes_with_a_failing_attach(
    host: Host, hidden: tuple[fabric.Storage, fabric.Adapter]
) -> None:
    with pytest.raises(Failed):
        search(hidden[0], then_fail=True)
    host.settle()
    assert not host.disks


def test_a_foreign_disk_that_was_there_before_or_is_in_use_stays(
    host: Host, hidden: tuple[fabric.Storage, fabric.Adapter]
) -> None:
    _, adapter = hidden
    host.find_lun(adapter.remotes[1], 1)
    host.settle()
    assert units(host) == {'foreign'}
    search(hidden[0])
    host.settle()
    assert units(host) == {'gold', 'foreign'}


@pytest.mark.parametrize('wanted', [True, False])
def test_no_wide_scan_where_targets_are_shown_or_it_is_forbidden(host: Host, wanted: bool) -> None:
    host.tells_nothing = not wanted
    storage, foreign = host.storage(), host.storage()
    foreign.luns[1] = array.Unit('foreign')
    host.adapter(foreign)
    before = host.snapshot()
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound):
        search(storage, enable_wildcard_scan=wanted)
    assert host.scans == []
    assert host.snapshot() == before


def test_a_wide_scan_that_finds_the_wrong_thing_leaves_nothing(host: Host) -> None:
    host.tells_nothing = True
    storage, foreign = host.storage(), host.storage()
    foreign.luns[1] = array.Unit('foreign')
    host.adapter(foreign)
    before = host.snapshot()
    begun = host.clock.monotonic()
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound):
        search(storage)
    assert host.scans
    assert host.clock.monotonic() - begun < SECONDS + 2
    assert host.snapshot() == before


def test_a_port_that_is_not_a_target_yet(host: Host) -> None:
    """It logged in before the array knew this host: the error says so."""
    storage = host.storage()
    adapter = host.adapter()
    host.see(adapter, storage, storage.ports[0], shown_id=-1)
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound, match='no target id'):
        search(storage)
    assert host.scans == [(adapter.host, '- - 1')]


def test_a_path_behind_a_hidden_adapter_is_believed_under_its_lock(
    host: Host, hidden: tuple[fabric.Storage, fabric.Adapter]
) -> None:
    """Another attach may be about to remove what its own scan has brought."""
    storage, adapter = hidden
    search(storage)
    request = request_fc.FcRequest.parse(storage.properties())
    with (
        operation.begin('connect', {}, (locks.VOLUME, 'x'), SETTINGS) as op,
        locks.hold(locks.TARGET, f'host {adapter.host}', wait.Deadline.after(1)),
        pytest.raises(exception.OperationTimedOut),
    ):
        fibre_channel_search.Search(request, fc_platform.GENERIC, op).run(wait.Deadline.after(0.2))


@pytest.mark.native  # Signals come to the main thread.
@pytest.mark.parametrize('when', [daemon.BEFORE, daemon.AFTER])
def test_whatever_is_ended_of_a_wide_scan_leaves_nothing(tmp_path: pathlib.Path, when: str) -> None:
    """The kernel goes on with a scan whose caller was ended, and so does root with a removal."""
    for number in range(20):
        with Host(tmp_path / str(number)) as host, daemon.serving() as root:
            storage, _ = hidden_in(host)
            before = host.snapshot()
            root.strike(number, when)
            with contextlib.suppress(SystemExit, Failed):
                search(storage, then_fail=True)
            assert host.snapshot() == before, root.struck
            if not root.struck:
                break
    assert 2 < number < 19
