# SPDX-License-Identifier: Apache-2.0
"""What is removed without its caller having asked for it is asked for users first.

Stale disks, foreign disks below a map, and what a failing attach takes back: each stays while a
process holds it exclusively, or has it open; a guest runs as a user of its own.
"""

from collections.abc import Callable, Iterator
import errno
import os
import pathlib
import signal
import subprocess
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof
from os_brick.privileged import block
from tests.unit.fakehost import array, fabric, nvme
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
EITHER = pytest.mark.parametrize('multipath', [False, True])


def claim(host: Host, name: str) -> Callable[[], None]:
    host.claims.add(name)
    return host.claims.clear


def open_it(host: Host, name: str) -> Callable[[], None]:
    """QEMU opens disks without O_EXCL."""
    host.tree.file('/proc/77/comm', 'qemu-system-x86')
    host.tree.file('/proc/77/status', 'Name:\tqemu-system-x86\nPPid:\t1\n')
    host.tree.directory('/proc/77/fd')
    host.tree.at('/proc/77/fd/14').symlink_to(f'/dev/{name}')
    return lambda: host.tree.remove('/proc/77')


USERS = pytest.mark.parametrize(('use', 'words'), [(claim, 'claimed'), (open_it, 'process 77')])


@pytest.fixture(params=['iscsi', 'fc'])
def kind(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[tuple[Any, Any, Any]]:
    """A host, how its connector is made, and a target with its properties."""
    if request.param == 'iscsi':
        with Host(tmp_path) as host:
            yield host, iscsi.ISCSIConnector, host.target('a')
    else:
        with fabric.FabricHost(tmp_path) as fc_host:
            storage = fc_host.storage()
            fc_host.adapter(storage)
            yield fc_host, fibre_channel.FibreChannelConnector, storage


@USERS
@EITHER
def test_a_stale_disk_stays(kind: Any, multipath: bool, use: Any, words: str) -> None:
    host, connector, target = kind
    brick = connector(None, use_multipath=multipath)
    target.luns[1] = array.Unit('gold')
    connector(None).connect_volume(target.properties())
    target.luns[1] = array.Unit('silver')
    end = use(host, 'sda')
    with pytest.raises(exception.VolumeIdentityMismatch, match=words):
        brick.connect_volume(target.properties())
    assert list(host.disks) == ['sda']
    end()
    info = brick.connect_volume(target.properties())
    assert host.disk_of(info['path']).unit.name == 'silver'


@USERS
@EITHER
def test_what_a_failing_attach_has_made_stays(
    kind: Any, multipath: bool, use: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A process takes it between the scan and the failure; the next detach removes it."""
    host, connector, target = kind
    brick = connector(None, use_multipath=multipath)
    target.luns[1] = array.Unit('gold')
    ends = []

    def fail(what: str) -> None:
        if what.startswith('_read_start'):
            ends.append(use(host, 'sda'))
            raise OSError(errno.EIO, 'Input/output error')

    host.before_act = fail
    with pytest.raises(exception.BrickException):
        brick.connect_volume(target.properties())
    host.settle()
    assert list(host.disks) == ['sda']
    assert not host.maps
    assert words in caplog.text
    host.before_act = lambda what: None
    for end in ends:
        end()
    brick.disconnect_volume(target.properties(), brick.connect_volume(target.properties()))
    assert not host.disks


@USERS
def test_a_foreign_disk_below_a_map_stays(host: Host, use: Any, words: str) -> None:
    """The array has given one port's LUN to another volume, which a guest reads by its disk."""
    target = host.target('a', portals=2)
    unit = target.luns[1] = array.Unit('gold')
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    other = host.target('b')
    other.luns[1] = array.Unit('silver')
    foreign = host.disk_of(iscsi.ISCSIConnector(None).connect_volume(other.properties())['path'])
    (found,) = host.maps.values()
    found.disks.append(foreign)
    host._tie(found, foreign)
    host.paths_known[foreign.name] = unit.wwid

    def when_evicted(what: str) -> None:
        if what.startswith('multipathd del path') and foreign.name in what:
            use(host, foreign.name)

    host.before_act = when_evicted
    with pytest.raises(exception.BrickException, match=words):
        brick.disconnect_volume(props, info)
    assert host.disks[foreign.name] is foreign
    assert unit.name == 'gold'


@pytest.mark.parametrize('name', ['multipathd', '(udev-worker)'])
@pytest.mark.parametrize('is_parent', [False, True])
def test_those_that_only_look_do_not_count(host: Host, name: str, is_parent: bool) -> None:
    """And what udev starts, such as scsi_id, which hangs in a disk that does not answer."""
    open_it(host, 'sda')
    assert block.openers(('sda', 'sda1')) == ['process 77 (qemu-system-x86)']
    assert block.openers(('sdb',)) == []
    number = '1' if is_parent else '77'
    host.tree.file(f'/proc/{number}/comm', name)
    assert block.openers(('sda',)) == []


def test_a_real_process_is_seen_and_our_own_children_are_not() -> None:
    """A child of the daemon may hang in a device that is about to go: it is no user of it."""
    with open('/dev/full', 'rb') as device:
        # Left by its parent; what a shell has in the background reads nothing unless it is told.
        script = 'exec 3<&0; sleep 60 <&3 3<&- >/dev/null & echo $!'
        command = ['sh', '-c', script]
        done = subprocess.run(command, stdin=device, stdout=subprocess.PIPE, check=True)
        with subprocess.Popen(['sleep', '60'], stdin=device) as child:
            orphan = int(done.stdout)
            try:
                assert block.openers(('full',)) == [f'process {orphan} (sleep)']
            finally:
                os.kill(orphan, signal.SIGKILL)
                child.kill()


def test_a_namespace_that_a_guest_has_open_stays(tmp_path: pathlib.Path) -> None:
    """Another volume behind the same controller: a detach of its neighbour leaves it."""
    with (
        nvme.configured(tmp_path) as root,
        nvme.StrikingFabric(root) as host,
        process.use(host),
    ):
        subsystem = host.subsystem('used')
        subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
        brick = nvmeof.NVMeOFConnector(None)
        info = brick.connect_volume(subsystem.properties(1))
        (name,) = host.controllers
        host.file('/proc/77/comm', 'qemu-system-x86')
        (root / 'proc/77/fd').mkdir()
        (root / 'proc/77/fd/3').symlink_to(f'/dev/{host.head(name, 2)}')
        brick.disconnect_volume(subsystem.properties(1), info)
        assert list(host.controllers) == [name]
        (root / 'proc/77/fd/3').unlink()
        info = brick.connect_volume(subsystem.properties(1))
        brick.disconnect_volume(subsystem.properties(1), info)
        assert not host.controllers
