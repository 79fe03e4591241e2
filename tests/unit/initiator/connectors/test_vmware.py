# SPDX-License-Identifier: Apache-2.0
"""Virtual disks of a vCenter that speaks its own protocol over TLS: before and after."""

from collections.abc import Iterator
import contextlib
import json
import logging
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import clock, net
from os_brick.initiator.connectors import vmware
from tests import breadth
from tests.doubles import certificates, vsphere, web
from tests.unit import planned, seams
from tests.unit.fakehost import network

pytest.importorskip('oslo_vmware', reason='test-requirements.txt has it', exc_type=ImportError)
ORIGINAL = b'the disk' * 1000
NEW = b'what was restored'


@pytest.fixture(autouse=True)
def _configured(tmp_path: pathlib.Path) -> Iterator[None]:
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    yield
    cfg.CONF.clear_override('lock_path', group='os_brick')
    cfg.CONF.clear_override('operation_timeout', group='os_brick')


@pytest.fixture(scope='module')
def one_vcenter() -> Iterator[vsphere.VCenter]:
    with vsphere.VCenter() as found:
        yield found


@pytest.fixture
def vcenter(one_vcenter: vsphere.VCenter) -> vsphere.VCenter:
    one_vcenter.reset()
    return one_vcenter


@pytest.fixture
def fresh() -> Iterator[vsphere.VCenter]:
    """A server whose API no one knows yet."""
    with vsphere.VCenter() as found:
        yield found


@pytest.fixture
def still() -> Iterator[seams.Clock]:
    """Time that passes only in pauses."""
    found = seams.Clock()
    with clock.use(found):
        yield found


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / 'copies'


def names(place: pathlib.Path) -> list[str]:
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


class Volume:
    """A volume that is attached."""

    def __init__(self, vcenter: vsphere.VCenter, place: pathlib.Path, **more: Any) -> None:
        self.vcenter, self.place = vcenter, place
        self.props = vcenter.properties(place, **more)
        self.brick = vmware.VmdkConnector(None)
        self.info = self.brick.connect_volume(self.props)
        self.path = pathlib.Path(self.info['path'])

    def detach(self, **flags: bool) -> None:
        self.brick.disconnect_volume(self.props, self.info, **flags)

    def is_as_it_was(self) -> bool:
        return self.vcenter.state() == (
            {'volume-1/volume-1.vmdk': ORIGINAL},
            'volume-1/volume-1.vmdk',
            set(),
            0,
        )


def test_a_copy_that_is_only_read(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    volume = Volume(vcenter, place)
    assert volume.path.parent == place
    assert volume.path.name.startswith('volume-1-')
    assert volume.path.suffix == '.vmdk'
    assert volume.path.read_bytes() == b'exported ' + ORIGINAL
    assert volume.path.stat().st_mode & 0o777 == 0o600
    assert volume.info['last_modified'] == volume.path.stat().st_mtime
    assert volume.brick.check_valid_device(str(volume.path))
    assert volume.is_as_it_was()
    before = len(vcenter.seen)
    volume.detach()
    assert len(vcenter.seen) == before
    assert not names(place)


def test_a_plan_is_what_is_done(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    brick, props = vmware.VmdkConnector(None), vcenter.properties(place)
    (plan,) = brick.plan('attach', props)
    assert not names(place)
    assert not vcenter.seen
    info: dict[str, Any] = {}
    done = planned.steps_of(lambda: info.update(brick.connect_volume(props)))
    assert done == planned.verbs(plan.as_dict())
    for words, data in (('as its attach', None), ('was changed', NEW)):
        if data:
            pathlib.Path(info['path']).write_bytes(data)
        (plan,) = brick.plan('detach', props, info)
        assert any(words in line for line in plan.now)
        assert vsphere.PASSWORD not in json.dumps(plan.as_dict())
    done = planned.steps_of(lambda: brick.disconnect_volume(props, info))
    assert done == planned.verbs(plan.as_dict())
    with pytest.raises(exception.NotFound):
        brick.plan('detach', props, info)
    with pytest.raises(NotImplementedError):
        brick.plan('extend', props)


def test_a_copy_that_was_written_to(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    """The machine has the new disk, and no other file is left; and so the next time."""
    for turn in range(3):
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW + bytes([turn]))
        kept = json.loads(json.dumps([volume.props, volume.info]))
        volume.brick.disconnect_volume(*kept)
        assert vcenter.content() == b'inflated ' + NEW + bytes([turn])
        assert list(vcenter.files) == [vcenter.disk]
        assert not vcenter.sessions
        assert not names(place)
    assert vcenter.disk == 'volume-1/volume-1-os-brick.vmdk'


@pytest.mark.usefixtures('still')
def test_a_write_right_after_the_attach_is_seen(
    vcenter: vsphere.VCenter, place: pathlib.Path
) -> None:
    """Of the same size, too, and in the moment of the download."""
    volume = Volume(vcenter, place)
    size = volume.path.stat().st_size
    with open(volume.path, 'r+b') as file:
        file.write(b'X')
    volume.detach()
    assert vcenter.content()[:10] == b'inflated X'
    assert len(vcenter.content()) == size + len('inflated ')


def test_a_changed_path_of_the_disk(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    """The machine was moved meanwhile: its disk is replaced where it is now."""
    volume = Volume(vcenter, place)
    vcenter.files['moved/a.vmdk'] = vcenter.files.pop('volume-1/volume-1.vmdk')
    vcenter.disk = 'moved/a.vmdk'
    volume.path.write_bytes(NEW)
    volume.detach()
    assert (vcenter.disk, list(vcenter.files)) == ('moved/a-os-brick.vmdk', [vcenter.disk])


@pytest.mark.parametrize('snapshots', [1, 2])
def test_snapshots(vcenter: vsphere.VCenter, place: pathlib.Path, snapshots: int) -> None:
    """Nothing is done, and the copy stays."""
    volume = Volume(vcenter, place)
    volume.path.write_bytes(NEW)
    vcenter.snapshots = snapshots
    with pytest.raises(exception.BrickException, match='snapshots'):
        volume.detach()
    assert volume.is_as_it_was()
    assert volume.path.read_bytes() == NEW
    vcenter.snapshots = 0
    volume.detach()
    assert vcenter.content() == b'inflated ' + NEW


def test_no_disk(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    volume = Volume(vcenter, place)
    volume.path.write_bytes(NEW)
    vcenter.disk = None
    with pytest.raises(exception.VolumeIdentityMismatch, match='no disk'):
        volume.detach()
    assert volume.path.exists()


OTHER = 'other/other.vmdk'


def _with_other(vcenter: vsphere.VCenter, unit: int = 1) -> None:
    """Have the machine have another disk, before the volume's."""
    vcenter.others = {unit: OTHER}
    vcenter.files[OTHER] = b'another volume'


class TestSeveralDisks:
    """Another disk of the machine is another volume: it is neither handed out nor written to."""

    def test_the_volumes_is_taken(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        _with_other(vcenter)
        volume = Volume(vcenter, place)
        assert volume.path.read_bytes() == b'exported ' + ORIGINAL
        volume.path.write_bytes(NEW)
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW
        assert vcenter.files[OTHER] == b'another volume'
        assert sorted(vcenter.files) == sorted([OTHER, vcenter.disk or ''])

    KEYS: tuple[tuple[str, Any], ...] = (
        ('none', lambda unit: ''),
        ('of a form that is not known', lambda unit: f'k{unit}'),
        ('one for all', lambda unit: '/vm-42/VirtualLsiLogicController0:0'),
        ('of another controller', lambda unit: f'/vm-42/VirtualLsiLogicController1:{unit}'),
        ('of another kind', lambda unit: f'/vm-42/ParaVirtualSCSIController0:{unit}'),
        ('of more digits', lambda unit: f'/vm-42/VirtualLsiLogicController0:{unit}0'),
    )

    @pytest.mark.parametrize(('name', 'key'), KEYS, ids=[name for name, _key in KEYS])
    def test_keys_that_do_not_tell(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, name: str, key: Any
    ) -> None:
        """Nothing is downloaded, and the export is given back."""
        _with_other(vcenter)
        vcenter.device_key = key
        before = vcenter.state()
        with pytest.raises(exception.VolumeIdentityMismatch, match='with 2 disks'):
            Volume(vcenter, place)
        assert not [line for line in vcenter.lines() if line.startswith('GET /nfc')]
        assert not names(place)
        assert vcenter.state() == before

    def test_one_disk_needs_no_key(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        vcenter.device_key = lambda unit: 'k'
        assert Volume(vcenter, place).path.read_bytes() == b'exported ' + ORIGINAL

    @pytest.mark.parametrize('hidden', [{0}, {0, 1}])
    def test_the_volumes_is_not_exported(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, hidden: set[int]
    ) -> None:
        """An independent disk is not: the only exported one is another volume's."""
        _with_other(vcenter)
        vcenter.hidden = hidden
        with pytest.raises(exception.BrickException, match='export'):
            Volume(vcenter, place)
        assert not names(place)
        assert not vcenter._open_leases()

    def test_the_other_is_not_exported(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        _with_other(vcenter)
        vcenter.hidden = {1}
        assert Volume(vcenter, place).path.read_bytes() == b'exported ' + ORIGINAL

    @pytest.mark.parametrize('unit', [1, 0])
    def test_the_only_disk_is_not_the_volumes(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, unit: int
    ) -> None:
        """Whatever address it has."""
        props = vcenter.properties(place)
        _with_other(vcenter, unit)
        vcenter.disk = None
        with pytest.raises(exception.VolumeIdentityMismatch, match=OTHER):
            vmware.VmdkConnector(None).connect_volume(props)
        assert not names(place)
        assert not vcenter._open_leases()

    @pytest.mark.parametrize('is_kept', [True, False])
    def test_the_volumes_goes_before_the_detach(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, is_kept: bool
    ) -> None:
        """The disk that is left is not overwritten; the copy stays."""
        _with_other(vcenter)
        volume = Volume(vcenter, place)
        if not is_kept:
            del volume.info['disk_address']
        volume.path.write_bytes(NEW)
        vcenter.disk = None
        before = vcenter.state()
        with pytest.raises(exception.VolumeIdentityMismatch, match=OTHER):
            volume.detach()
        assert vcenter.state() == before
        assert volume.path.read_bytes() == NEW

    def test_both_were_moved(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        """The disk is known by its address then."""
        _with_other(vcenter)
        volume = Volume(vcenter, place)
        vcenter.files['moved/b.vmdk'] = vcenter.files.pop('volume-1/volume-1.vmdk')
        vcenter.files['moved/a.vmdk'] = vcenter.files.pop(OTHER)
        vcenter.disk, vcenter.others = 'moved/b.vmdk', {1: 'moved/a.vmdk'}
        volume.path.write_bytes(NEW)
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW
        assert vcenter.files['moved/a.vmdk'] == b'another volume'

    @pytest.mark.parametrize('is_running', [True, False])
    def test_the_other_has_the_name_for_the_new_one(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, is_running: bool
    ) -> None:
        """It is not taken for the rest of an earlier attempt."""
        _with_other(vcenter)
        volume = Volume(vcenter, place)
        taken = 'moved/b-os-brick.vmdk'
        vcenter.files['moved/b.vmdk'] = vcenter.files.pop('volume-1/volume-1.vmdk')
        vcenter.files[taken] = vcenter.files.pop(OTHER)
        vcenter.disk, vcenter.others = 'moved/b.vmdk', {1: taken}
        vcenter.is_running = is_running
        volume.path.write_bytes(NEW)
        before = vcenter.state()
        with pytest.raises(exception.VolumeIdentityMismatch, match=taken):
            volume.detach()
        assert vcenter.state() == before
        assert volume.path.exists()

    def test_moved_and_the_address_was_not_kept(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        volume = Volume(vcenter, place)
        assert volume.info.pop('disk_address') == 'VirtualLsiLogicController0:0'
        vcenter.files['moved/b.vmdk'] = vcenter.files.pop('volume-1/volume-1.vmdk')
        vcenter.disk = 'moved/b.vmdk'
        volume.path.write_bytes(NEW)
        with pytest.raises(exception.VolumeIdentityMismatch, match='moved/b'):
            volume.detach()
        assert volume.path.exists()


class TestLocalDisk:
    """What goes wrong on this host is not said of the server."""

    def test_it_is_full(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(exception.BrickException, match='cannot be kept in') as caught:
                Volume(vcenter, place)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert 'File too large' in str(caught.value)
        assert 'server' not in str(caught.value)
        assert not names(place)
        assert vcenter.state()[2:] == (set(), 0)

    @pytest.mark.parametrize('content', [b'', b'short', NEW * 3, NEW.upper(), None])
    @pytest.mark.parametrize('when', ['RetrievePropertiesEx', 'DeleteVirtualDisk_Task'])
    def test_the_copy_changes_while_it_is_written_back(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, content: bytes | None, when: str
    ) -> None:
        """It is an error at once; the copy stays, and the next detach writes it back whole."""
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)

        def before_each(method: str) -> None:
            # Between the first look at the copy and the upload, or after the upload.
            if method == when and 'MakeDirectory' in vcenter.calls:
                vcenter.before_each = lambda method: None
                os.utime(volume.path, (0, 0))
                if content is not None:
                    volume.path.write_bytes(content)

        vcenter.calls.clear()
        vcenter.before_each = before_each
        begun = clock.monotonic()
        with pytest.raises(exception.BrickException, match='It was changed while'):
            volume.detach()
        assert clock.monotonic() - begun < 8
        wanted = NEW if content is None else content
        assert volume.path.read_bytes() == wanted
        volume.detach()
        assert vcenter.content() == b'inflated ' + wanted
        assert not names(place)

    def test_an_empty_export(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        vcenter.faults.append(web.Fault('reply', 'GET /nfc', value=web.Reply(200, b'')))
        with pytest.raises(exception.StorageServerError, match='empty'):
            Volume(vcenter, place)
        assert not names(place)


class TestForce:
    @pytest.mark.parametrize('ignore', [True, False])
    def test_the_copy_goes(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, ignore: bool
    ) -> None:
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        vcenter.refuse['CopyVirtualDisk_Task'] = vsphere.Fault('NoDiskSpace')
        if ignore:
            volume.detach(force=True, ignore_errors=True)
        else:
            with pytest.raises(exception.ExceptionChainer, match='NoDiskSpace'):
                volume.detach(force=True)
        assert volume.is_as_it_was()
        assert not names(place)

    def test_a_copy_that_is_written_back(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        volume.detach(force=True)
        assert vcenter.content() == b'inflated ' + NEW


def test_repeated_detach(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    """What has gone may have held data: that is said, unless errors are ignored."""
    volume = Volume(vcenter, place)
    volume.detach()
    with pytest.raises(exception.NotFound, match=str(volume.path)):
        volume.detach()
    volume.detach(force=True, ignore_errors=True)
    assert volume.is_as_it_was()


KINDS = ['closed', 'late', 'half', 'page', 'huge', 'redirect']
LAST = 34


def strikes(kinds: list[str], most: int) -> list[tuple[int, str]]:
    """The numbers of the requests, and what goes wrong with each: the kinds take turns in CI."""
    return [
        (number, kind)
        for turn, kind in enumerate(kinds)
        for number in breadth.acts(turn, len(kinds), most)
    ]


def _fault(kind: str, number: int) -> web.Fault:
    if kind == 'page':
        return web.Fault('status', skip=number, value=503, times=20)
    return web.Fault(
        kind,
        skip=number,
        value={'redirect': 'https://127.0.0.2:1/sdk', 'huge': 20 << 20}.get(kind),
    )


@pytest.mark.usefixtures('still')
class TestEachRequest:
    """Something goes wrong with one request, whichever it is."""

    @pytest.mark.parametrize(('number', 'kind'), strikes(KINDS, 12))
    def test_of_an_attach(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, number: int, kind: str
    ) -> None:
        vcenter.faults = [_fault(kind, number)]
        volume = None
        with contextlib.suppress(exception.BrickException):
            volume = Volume(vcenter, place)
        if volume is None:
            assert not names(place)
        else:
            struck = ''.join(vcenter.lines()[number : number + 1])
            is_other = kind == 'huge' and 'GET /nfc' in struck
            assert is_other or volume.path.read_bytes() == b'exported ' + ORIGINAL
            assert names(place) == [volume.path.name]
        assert vcenter.state()[:2] == (
            {'volume-1/volume-1.vmdk': ORIGINAL},
            'volume-1/volume-1.vmdk',
        )

    @pytest.mark.parametrize(('number', 'kind'), strikes(['late', 'closed', 'half', 'page'], LAST))
    def test_of_a_detach(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, number: int, kind: str
    ) -> None:
        """The machine has a whole disk, old or new, and a second detach ends well."""
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        vcenter.faults = [_fault(kind, number)]
        failed = True
        with contextlib.suppress(exception.BrickException):
            volume.detach()
            failed = False
        vcenter.faults.clear()
        assert vcenter.content() in (ORIGINAL, b'inflated ' + NEW)
        assert volume.path.exists() == failed
        if failed:
            volume.detach()
        assert vcenter.content() == b'inflated ' + NEW
        assert not names(place)
        left = set(vcenter.files) - {vcenter.disk}
        # What could not be deleted is said in a warning, and goes with the next detach.
        if left:
            again = Volume(vcenter, place)
            again.path.write_bytes(NEW)
            again.detach()
            left = set(vcenter.files) - {vcenter.disk}
        assert not left


class Interrupted(network.Network):
    """A network on which the caller is interrupted when it makes a connection."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(clock)
        self._port, self._left = port, number

    def open(self, address: str, port: int, seconds: float) -> socket.socket:
        self._left -= 1
        if self._left == -1:
            raise KeyboardInterrupt
        return socket.create_connection(('127.0.0.1', self._port), timeout=seconds)


@pytest.mark.usefixtures('still')
class TestInterrupts:
    """The caller is interrupted at some request, as by the end of its service."""

    @pytest.mark.parametrize('number', breadth.acts(0, 2, 10))
    def test_an_attach(self, vcenter: vsphere.VCenter, place: pathlib.Path, number: int) -> None:
        with (
            net.use(Interrupted(vcenter.port, number)),
            contextlib.suppress(KeyboardInterrupt),
        ):
            Volume(vcenter, place).detach()
        assert not [name for name in names(place) if name.endswith('.part')]
        volume = Volume(vcenter, place)
        volume.detach()
        assert vcenter.state()[:2] == (
            {'volume-1/volume-1.vmdk': ORIGINAL},
            'volume-1/volume-1.vmdk',
        )
        assert not vcenter._open_leases()

    @pytest.mark.parametrize('number', breadth.acts(0, 3, LAST))
    def test_a_detach(self, vcenter: vsphere.VCenter, place: pathlib.Path, number: int) -> None:
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        with net.use(Interrupted(vcenter.port, number)), contextlib.suppress(KeyboardInterrupt):
            volume.detach()
        assert vcenter.content() in (ORIGINAL, b'inflated ' + NEW)
        if volume.path.exists():
            volume.detach()
        assert vcenter.content() == b'inflated ' + NEW
        assert not names(place)


@pytest.mark.usefixtures('still')
class TestEachMethod:
    """A method of the server is refused."""

    @pytest.mark.parametrize('method', ['ExportVm', 'lease', 'HttpNfcLeaseComplete', 'Login'])
    def test_of_an_attach(self, vcenter: vsphere.VCenter, place: pathlib.Path, method: str) -> None:
        vcenter.refuse[method] = vsphere.Fault('InvalidState', 'not in this state')
        with pytest.raises(exception.BrickException, match=r'not in this state|status 500'):
            Volume(vcenter, place)
        assert not names(place)
        vcenter.refuse.clear()
        volume = Volume(vcenter, place)
        volume.detach()
        assert volume.is_as_it_was()

    @pytest.mark.parametrize(
        'method',
        ['MakeDirectory', 'CopyVirtualDisk_Task', 'ReconfigVM_Task', 'RetrievePropertiesEx'],
    )
    def test_of_a_detach(self, vcenter: vsphere.VCenter, place: pathlib.Path, method: str) -> None:
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        vcenter.refuse[method] = vsphere.Fault('NoDiskSpace', 'no room')
        with pytest.raises(exception.BrickException, match=rf'{method}|no room'):
            volume.detach()
        assert volume.is_as_it_was()
        assert volume.path.read_bytes() == NEW

    def test_what_cannot_be_deleted(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The volume is right; the next detach deletes it."""
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        vcenter.locked = {'volume-1/volume-1.vmdk', 'cinder_temp/volume-1.vmdk'}
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW
        for name in vcenter.locked:
            assert f'{name} is left in the datastore' in caplog.text
        vcenter.locked = set()
        again = Volume(vcenter, place)
        again.path.write_bytes(NEW)
        again.detach()
        assert list(vcenter.files) == [vcenter.disk]

    def test_a_task_that_takes_its_time(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        vcenter.slow = 8
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW

    def test_a_task_that_never_ends(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, still: seams.Clock
    ) -> None:
        """It is cancelled, and the operation ends in its time."""
        volume = Volume(vcenter, place, vmware_task_poll_interval=5)
        volume.path.write_bytes(NEW)
        vcenter.slow = -1
        begun = still.now
        with pytest.raises(exception.OperationTimedOut, match='DeleteVirtualDisk_Task'):
            volume.detach()
        assert still.now - begun < 120 + 30 + 5
        assert 'CancelTask' in vcenter.calls
        assert vcenter.content() == ORIGINAL
        vcenter.slow = 1
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW

    @pytest.mark.parametrize('kind', ['ManagedObjectNotFound', 'NotAuthenticated'])
    def test_a_swap_that_cannot_be_watched(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, kind: str
    ) -> None:
        """The server knows nothing of the task any more, which it has done: it was restarted."""
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        swaps: list[str] = []

        def before_each(method: str) -> None:
            if method == 'RetrievePropertiesEx' and swaps:
                vcenter._task_info(swaps.pop())
                vcenter.refuse[method] = vsphere.Fault(kind)
            elif method == 'ReconfigVM_Task':
                swaps.append(f'task-{next(vcenter._numbers) + 1}')
            elif method == 'CancelTask':
                vcenter.refuse.clear()

        vcenter.before_each = before_each
        # A machine that is off keeps no one from deleting its disk.
        vcenter.is_running, vcenter.slow = False, 0
        with contextlib.suppress(exception.BrickException):
            volume.detach()
        assert vcenter.disk == 'volume-1/volume-1-os-brick.vmdk'
        assert vcenter.content() == b'inflated ' + NEW
        assert not volume.path.exists()
        assert list(vcenter.files) == [vcenter.disk]

    def test_a_lease_that_is_never_ready(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        vcenter.slow = -1
        with pytest.raises(exception.OperationTimedOut, match='export of a disk'):
            Volume(vcenter, place, vmware_task_poll_interval=5)
        assert not names(place)
        assert vcenter.state()[2:] == (set(), 0)

    @pytest.mark.parametrize('number', breadth.acts(0, 3, 9))
    def test_a_session_that_ends(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, number: int
    ) -> None:
        """It is begun again, and nothing is done twice."""
        seen = 0

        def before_each(method: str) -> None:
            nonlocal seen
            seen += method != 'Login'
            if seen == number + 2:
                vcenter.sessions.clear()

        vcenter.before_each = before_each
        volume = Volume(vcenter, place)
        volume.path.write_bytes(NEW)
        seen = 0
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW
        assert list(vcenter.files) == [vcenter.disk]

    def test_a_session_that_never_lasts(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        vcenter.refuse['ExportVm'] = vsphere.Fault('NotAuthenticated')
        with pytest.raises(exception.BrickException, match='NotAuthenticated'):
            Volume(vcenter, place)
        assert vcenter.calls.count('Login') == 4

    def test_a_password_that_was_changed(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        vcenter.password = 'another'
        with pytest.raises(exception.BrickException, match='rejects the user name or') as caught:
            Volume(vcenter, place)
        assert vsphere.PASSWORD not in str(caught.value)
        assert vcenter.calls.count('Login') == 1
        assert not names(place)


class TestHung:
    """Servers that take a request and never answer; time is real here."""

    @pytest.mark.parametrize('line', ['GET /sdk', 'POST /sdk', 'GET /nfc'])
    def test_in_an_attach(self, fresh: vsphere.VCenter, place: pathlib.Path, line: str) -> None:
        cfg.CONF.set_override('operation_timeout', 0.7, group='os_brick')
        fresh.faults = [web.Fault('hung', line, times=99)]
        begun = clock.monotonic()
        with pytest.raises(exception.OperationTimedOut):
            Volume(fresh, place, vmware_image_transfer_timeout_secs=0.5)
        assert clock.monotonic() - begun < 6
        assert not names(place)

    @pytest.mark.parametrize(('line', 'skip'), [('PUT', 0), ('POST', 12)])
    def test_in_a_detach(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, line: str, skip: int
    ) -> None:
        volume = Volume(vcenter, place, vmware_image_transfer_timeout_secs=0.5)
        volume.path.write_bytes(NEW)
        cfg.CONF.set_override('operation_timeout', 1, group='os_brick')
        vcenter.faults = [web.Fault('late_hung', line, skip=skip, times=99)]
        begun = clock.monotonic()
        with pytest.raises(exception.OperationTimedOut):
            volume.detach()
        assert clock.monotonic() - begun < 6
        vcenter.faults.clear()
        assert vcenter.content() == ORIGINAL
        cfg.CONF.clear_override('operation_timeout', group='os_brick')
        volume.detach()
        assert vcenter.content() == b'inflated ' + NEW

    def test_one_that_says_nothing_at_all(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        cfg.CONF.set_override('operation_timeout', 0.5, group='os_brick')
        vcenter.faults = [web.Fault('mute', times=99)]
        with pytest.raises(exception.OperationTimedOut):
            Volume(vcenter, place, vmware_image_transfer_timeout_secs=0.5)


@pytest.mark.parametrize('manager', ['sessionManager', 'fileManager', 'virtualDiskManager'])
def test_a_manager_that_the_server_does_not_have(
    vcenter: vsphere.VCenter,
    place: pathlib.Path,
    manager: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volume = Volume(vcenter, place)
    volume.path.write_bytes(NEW)
    real = vcenter._RetrieveServiceContent

    def without(*words: Any) -> str:
        return re.sub(rf'<{manager} .*?</{manager}>', '', real(*words))

    monkeypatch.setattr(vcenter, '_RetrieveServiceContent', without)
    with pytest.raises(exception.StorageServerError, match=manager):
        volume.detach()
    assert volume.is_as_it_was()
    assert volume.path.read_bytes() == NEW


def test_a_login_whose_answer_is_not_readable(
    vcenter: vsphere.VCenter, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is ended all the same."""
    real = vcenter._soap

    def soap(request: web.Seen) -> web.Reply:
        reply = real(request)
        is_login = vcenter.calls[-1] == 'Login'
        return web.Reply(200, b'garbage', reply.headers) if is_login else reply

    monkeypatch.setattr(vcenter, '_soap', soap)
    with pytest.raises(exception.StorageServerError, match='not as vSphere does'):
        Volume(vcenter, place)
    assert 'Login' in vcenter.calls
    assert not vcenter.sessions
    assert not names(place)


class TestTrust:
    def test_another_authority(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        other = certificates.of('127.0.0.1')
        with pytest.raises(exception.StorageServerNotTrusted):
            Volume(vcenter, place, vmware_ca_file=str(other.file))
        assert not vcenter.seen

    def test_the_authorities_of_the_system(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        """Where nothing is said, certificates are verified."""
        with pytest.raises(exception.StorageServerNotTrusted):
            Volume(vcenter, place, vmware_ca_file=None, vmware_insecure=None)

    def test_none(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        Volume(vcenter, place, vmware_ca_file=None, vmware_insecure=True).detach()

    def test_the_wrong_name(self, place: pathlib.Path) -> None:
        with vsphere.VCenter(certificates.of('vcenter.lab')) as vcenter:
            with pytest.raises(exception.StorageServerNotTrusted):
                Volume(vcenter, place)
            assert not vcenter.seen

    def test_the_file_is_missing(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        with pytest.raises(exception.InvalidParameterValue, match='certificates of /nowhere'):
            Volume(vcenter, place, vmware_ca_file='/nowhere')
        assert not names(place)


class Host(web.Server):
    """The ESXi host of the machine, which has a certificate of its own."""

    def answer(self, request: web.Seen) -> web.Reply:
        return web.Reply(200, b'exported by the host')


def _thumbprint(certificate: certificates.Certificate) -> str:
    words = ('openssl', 'x509', '-noout', '-fingerprint', '-sha1', '-in', str(certificate.file))
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()[-59:]


class TestAnotherHost:
    """A vCenter exports disks at the host of the machine."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        with Host(certificates.of('esx1.lab')) as found:
            yield found

    def test_its_thumbprint_is_told(
        self, vcenter: vsphere.VCenter, host: Host, place: pathlib.Path
    ) -> None:
        """No name of it has to be right, and the session is not shown to it."""
        assert host.certificate is not None
        vcenter.thumbprint = _thumbprint(host.certificate)
        vcenter.export_url = f'https://127.0.0.1:{host.port}/nfc/1/disk.vmdk'
        volume = Volume(vcenter, place)
        assert volume.path.read_bytes() == b'exported by the host'
        (request,) = host.seen
        assert 'cookie' not in request.headers
        volume.detach()

    @pytest.mark.parametrize('told', ['another', 'none'])
    def test_it_is_not_trusted(
        self, vcenter: vsphere.VCenter, host: Host, place: pathlib.Path, told: str
    ) -> None:
        vcenter.thumbprint = 'AA:' * 19 + 'AA' if told == 'another' else ''
        vcenter.export_url = f'https://127.0.0.1:{host.port}/nfc/1/disk.vmdk'
        with pytest.raises(exception.StorageServerNotTrusted):
            Volume(vcenter, place)
        assert not host.seen
        assert vcenter.state()[2:] == (set(), 0)

    def test_an_esxi_server_means_itself(
        self, vcenter: vsphere.VCenter, place: pathlib.Path
    ) -> None:
        vcenter.export_url = 'https://*/nfc/lease-2/disk-0.vmdk'
        assert Volume(vcenter, place).path.read_bytes() == b'exported ' + ORIGINAL

    @pytest.mark.parametrize('url', ['http://127.0.0.1/a', 'file:///etc/passwd', 'nonsense'])
    def test_not_https(self, vcenter: vsphere.VCenter, place: pathlib.Path, url: str) -> None:
        vcenter.export_url = url
        with pytest.raises(exception.BrickException, match='https'):
            Volume(vcenter, place)

    def test_the_description_of_another_server(
        self, fresh: vsphere.VCenter, host: Host, place: pathlib.Path
    ) -> None:
        """The API's description refers to documents elsewhere: they are not fetched."""
        body = vsphere.description('https://127.0.0.1').replace(
            '<types>', f'<import location="https://127.0.0.1:{host.port}/x.wsdl"/><types>'
        )
        fresh.faults = [web.Fault('reply', 'wsdl', value=web.Reply(200, body.encode()))]
        with pytest.raises(exception.StorageServerError, match='another server'):
            Volume(fresh, place)
        assert not host.seen


def test_side_by_side(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    """Two attaches of one volume: a machine exports its disk once at a time."""
    found: list[Volume] = []
    threads = [
        threading.Thread(target=lambda: found.append(Volume(vcenter, place))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({volume.path for volume in found}) == 2
    for volume in found:
        volume.detach()
    assert found[0].is_as_it_was()


def test_a_copy_is_complete_last_of_all(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    """A process that is killed in the logout leaves nothing that the next attach does not sweep."""
    seen: list[list[str]] = []

    def before_each(method: str) -> None:
        if method == 'Logout':
            seen.append(names(place))

    vcenter.before_each = before_each
    Volume(vcenter, place)
    assert [name.rpartition('.')[2] for found in seen for name in found] == ['part']


def test_what_a_killed_process_has_left(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    """Part of a copy, here; a file and a disk in the datastore. Copies that are whole stay."""
    place.mkdir()
    (place / 'volume-1-deadbeef.vmdk.part').write_bytes(b'half')
    (place / 'volume-12-deadbeef.vmdk.part').write_bytes(b'of another volume')
    (place / 'volume-1-whole.vmdk').write_bytes(b'of another attach')
    vcenter.directories.add('cinder_temp')
    vcenter.files['cinder_temp/volume-1.vmdk'] = b'half'
    vcenter.files['volume-1/volume-1-os-brick.vmdk'] = b'half'
    volume = Volume(vcenter, place)
    volume.path.write_bytes(NEW)
    volume.detach()
    assert names(place) == ['volume-1-whole.vmdk', 'volume-12-deadbeef.vmdk.part']
    assert vcenter.content() == b'inflated ' + NEW
    assert list(vcenter.files) == [vcenter.disk]


def test_secrets(
    vcenter: vsphere.VCenter, place: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Password and session are in no log of any library, whatever its level, and in no repr."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger('suds.xsd').setLevel(logging.INFO)
    logging.getLogger('suds.resolver').setLevel(logging.INFO)
    volume = Volume(vcenter, place)
    volume.path.write_bytes(NEW)
    vcenter.refuse['CopyVirtualDisk_Task'] = vsphere.Fault('NoDiskSpace')
    with pytest.raises(exception.BrickException) as caught:
        volume.detach()
    shown = caplog.text + repr(caught.value) + repr(vmware.Volume.parse(volume.props))
    for secret in (vsphere.PASSWORD, 'pa55', 'session-'):
        assert secret not in shown


BAD: list[tuple[str, Any]] = [
    ('volume', None),
    ('volume', 'vm 42'),
    ('volume_id', '../x'),
    ('volume_id', ''),
    ('vmdk_path', 'volume-1.vmdk'),
    ('vmdk_path', '[nfs 1] ../../a.vmdk'),
    ('vmdk_size', 'much'),
    ('datastore', None),
    ('datacenter', '<a/>'),
    ('config', None),
    ('config', 'x'),
]
BAD_CONFIG: list[tuple[str, Any]] = [
    ('vmware_host_ip', None),
    ('vmware_host_ip', 'a b'),
    ('vmware_host_port', 0),
    ('vmware_host_username', None),
    ('vmware_host_password', 17),
    ('vmware_host_password', 'a\ud800'),
    ('vmware_host_password', 'a\0'),
    ('vmware_host_username', 'a\x1b'),
    ('vmware_tmp_dir', 'relative'),
    ('vmware_tmp_dir', None),
    ('vmware_image_transfer_timeout_secs', -1),
    ('vmware_insecure', 'perhaps'),
    ('vmware_api_retry_count', 'x'),
    ('vmware_task_poll_interval', 0),
]


class TestBadInput:
    @pytest.mark.parametrize(('key', 'value'), BAD)
    def test_properties(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, key: str, value: Any
    ) -> None:
        props = {**vcenter.properties(place), key: value}
        with pytest.raises(exception.InvalidParameterValue, match=key) as caught:
            vmware.VmdkConnector(None).connect_volume(props)
        assert vsphere.PASSWORD not in str(caught.value)
        assert not vcenter.seen

    @pytest.mark.parametrize(('key', 'value'), BAD_CONFIG)
    def test_configuration(
        self, vcenter: vsphere.VCenter, place: pathlib.Path, key: str, value: Any
    ) -> None:
        with pytest.raises(exception.InvalidParameterValue, match=key):
            Volume(vcenter, place, **{key: value})
        assert not vcenter.seen
        assert not place.exists()

    @pytest.mark.parametrize(
        'info',
        [
            None,
            {'path': '{place}/volume-1-2-deadbeef.vmdk', 'last_modified': 1.0},
            {},
            {'path': '/etc/passwd', 'last_modified': 1.0},
            {'path': 'volume-1-x.vmdk', 'last_modified': 1.0},
            {'last_modified': 1.0},
        ],
    )
    def test_device_info(self, vcenter: vsphere.VCenter, place: pathlib.Path, info: Any) -> None:
        if info and 'path' in info:
            info = {**info, 'path': info['path'].format(place=place)}
        with pytest.raises(exception.InvalidParameterValue, match=r'path|device_info'):
            vmware.VmdkConnector(None).disconnect_volume(vcenter.properties(place), info)

    def test_another_volumes_copy(self, vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
        volume = Volume(vcenter, place)
        with pytest.raises(exception.InvalidParameterValue, match='volume-2'):
            volume.brick.disconnect_volume({**volume.props, 'volume_id': 'volume-2'}, volume.info)
        assert volume.path.exists()

    def test_no_room(self, vcenter: vsphere.VCenter, tmp_path: pathlib.Path) -> None:
        (tmp_path / 'file').write_text('')
        with pytest.raises(exception.BrickException, match='cannot be kept'):
            Volume(vcenter, tmp_path / 'file')


def test_a_link_in_the_place_of_the_copy(
    vcenter: vsphere.VCenter, place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """It is not read: it may lead to a file of another user."""
    volume = Volume(vcenter, place)
    volume.path.unlink()
    volume.path.symlink_to('/etc/hostname')
    with pytest.raises(exception.NotFound):
        volume.detach()
    assert volume.is_as_it_was()


def test_the_rest_of_the_interface(vcenter: vsphere.VCenter, place: pathlib.Path) -> None:
    brick = vmware.VmdkConnector(None)
    props = vcenter.properties(place)
    assert brick.get_connector_properties(None) == {}
    assert brick.get_volume_paths(props) == []
    assert brick.get_search_path() is None
    assert brick.get_all_available_volumes() is None
    with pytest.raises(NotImplementedError):
        brick.extend_volume(props)
    assert not brick.check_valid_device(str(place / 'missing'))
    assert vmware.VmdkConnector.TMP_IMAGES_DATASTORE_FOLDER_PATH == 'cinder_temp'


def test_binary_content_is_valid(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.vmdk'
    path.write_bytes(b'\xff\xfe\x80')
    assert vmware.VmdkConnector(None).check_valid_device(str(path), run_as_root=False)


def test_without_oslo_vmware() -> None:
    """The module can be imported; making a connector names the extra."""
    code = """
import sys
sys.modules['oslo_vmware'] = None
from os_brick import exception
from os_brick.initiator import connector
try:
    connector.InitiatorConnector.factory('VMDK', None)
except exception.BrickException as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, 'PYTHONPATH': os.getcwd()},
    )
    assert "pip install 'os-brick[vmware]'" in done.stdout
