# SPDX-License-Identifier: Apache-2.0
"""What notes, libvirt's guests and targets tell of a volume's ID."""

from collections.abc import Iterator
import dataclasses
import errno
import json
import pathlib
import threading
from typing import Any

import pytest

from os_brick.core import files, shared_files
from os_brick.host import inventory, inventory_look, inventory_names, notes
from os_brick.model import note
from os_brick.model.inventory import State, Volume
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost.fixtures import host as host  # noqa: PLC0414 the fixture
from tests.unit.host.test_inventory import mapped

ID = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'
GUEST = f"""<domstatus state='running' pid='4711'><domain type='kvm'>
<name>instance-0000002a</name><devices>
<disk type='block' device='disk'><source dev='/dev/dm-4'/><serial>{ID}</serial></disk>
<disk type='file' device='disk'><source file='/mnt/a/volume-x'/><serial>two</serial></disk>
<disk type='file' device='cdrom'/>
</devices></domain></domstatus>"""


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        (f'iqn.2010-10.org.openstack:volume-{ID}', ID),
        (f'nqn.2014-08.org.nvmexpress:VOLUME-{ID.upper()}', ID),
        ('iqn.2010-10.org.openstack:volume-gold', ''),
        ('', ''),
    ],
)
def test_names_of_targets(text: str, found: str) -> None:
    name = inventory_names.of_text(text)
    assert (name.volume_id if name else '') == found


def test_guests(tmp_path: pathlib.Path) -> None:
    place = tmp_path / 'run/libvirt/qemu'
    place.mkdir(parents=True)
    (place / 'instance-0000002a.xml').write_text(GUEST)
    (place / 'broken.xml').write_text('<domain')
    (place / 'other.pid').write_text('7')
    with files.use(str(tmp_path)):
        look = inventory_look.Look()
        found = inventory_names.of_guests(look)
    assert {key: (name.volume_id, name.text) for key, name in found.items()} == {
        'dm-4': (ID, 'instance-0000002a'),
        '/mnt/a/volume-x': ('two', 'instance-0000002a'),
    }
    [unread] = look.unread
    assert unread.what == '/run/libvirt/qemu/broken.xml'


WWID, OTHER = '36001405e07e81c20cf5935f5225765f0', '36001405e07e81c20cf5935f5225765f1'
MAP = Volume('dm-4', 1, 'multipath', 'iscsi', identity=WWID)


def noted(identity: str = WWID, device: str = 'dm-4', **more: Any) -> note.Note:
    values: dict[str, Any] = {'volume_id': ID, 'result': {'path': '/dev/dm-4'}, 'wanted': 2}
    return note.Note(key=f'{identity}{device}', device=device, identity=identity, **values | more)


def keep(place: pathlib.Path, found: note.Note, boot: str = 'now', name: str = '') -> None:
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps({'boot': boot, **found.as_dict()})
    (place / f'{inventory_names.NOTE}{name or notes.digest(found.key)}').write_text(text)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    with files.use(str(tmp_path)):
        boot = tmp_path / 'proc/sys/kernel/random/boot_id'
        boot.parent.mkdir(parents=True)
        boot.write_text('now\n')
        yield tmp_path / 'run/os-brick'


def test_the_name_is_that_of_the_store() -> None:
    assert inventory_names.NOTE == notes.NOTE


def test_notes_that_cannot_be_read_are_missed(place: pathlib.Path) -> None:
    keep(place, noted())
    keep(place, noted(OTHER, 'dm-5'), 'before')
    keep(place, noted(OTHER, 'dm-7'), name='zz')
    for name, text in (('c', '{"boot": "now"}'), ('d', 'garbled'), ('e', '[]'), ('f', '{' * 9999)):
        (place / f'{inventory_names.NOTE}{name}').write_text(text)
    keep(place, noted(WWID, 'dm-6', wanted=10**400), name='h')
    (place / f'{inventory_names.NOTE}g').symlink_to('/dev/zero')
    look = inventory_look.Look()
    [found] = inventory_names.notes(look, ['/run/os-brick', '/nowhere'])
    assert found.volume_id == ID
    names = [each.what.rpartition('-')[2] for each in look.unread]
    assert names == ['c', 'd', 'e', 'f', 'g', 'h', 'zz']


@pytest.mark.parametrize(
    ('found', 'is_its', 'is_another'),
    [
        (noted(), True, False),
        (noted(WWID.upper(), 'dm-9'), True, False),
        (noted('', 'dm-4'), False, False),
        (noted('', 'dm-4', number=1), True, False),
        (noted('', 'dm-4', number=2), False, False),
        (noted('', 'dm-9', properties={'vol_uuid': WWID}), True, False),
        (noted('free text'), False, False),
        (noted(OTHER), False, True),
        (noted(OTHER, 'dm-9'), False, False),
        (noted(result=None), False, False),
    ],
)
def test_which_note_is_of_a_volume(found: note.Note, is_its: bool, is_another: bool) -> None:
    every = inventory_names.Notes([found])
    assert (every.of(MAP) is not None) is is_its
    assert bool(every.contradicts(MAP)) is is_another


def test_a_volume_without_an_identity_is_named_by_its_device() -> None:
    bare = dataclasses.replace(MAP, identity='')
    assert inventory_names.Notes([noted('', number=1)]).of(bare) is not None
    assert inventory_names.Notes([noted('', number=2)]).of(bare) is None
    assert inventory_names.Notes([noted('')]).of(bare) is None
    assert inventory_names.Notes([noted(number=1)]).of(bare) is None
    assert inventory_names.Notes([noted('', 'dm-9', number=1)]).of(bare) is None


def test_a_namespace_is_named_by_what_the_caller_asked_for() -> None:
    uuid = '7c1e0cb4-3b8f-4a43-8d40-0123456789ab'
    namespace = Volume('nvme0n1', 1, 'namespace', 'nvme-tcp', identity=f'uuid.{uuid}')
    asked = noted('', 'nvme0n1', properties={'vol_uuid': uuid.upper()})
    assert inventory_names.Notes([asked]).of(namespace) == asked
    other = noted('', 'nvme0n1', properties={'vol_uuid': uuid.replace('7', '8')})
    assert inventory_names.Notes([other]).of(namespace) is None


def test_a_name_of_a_device_that_another_namespace_has_by_now() -> None:
    """The caller passed no name, only a number; the attach has proved who it was."""
    ours, other = (f'uuid.{digit}c1e0cb4-3b8f-4a43-8d40-0123456789ab' for digit in '78')
    every = inventory_names.Notes([noted(ours, 'nvme0n1')])
    here = Volume('nvme0n1', 1, 'namespace', 'nvme-tcp', identity=other)
    assert (every.of(here), every.contradicts(here)) == (None, ours)
    elsewhere = Volume('nvme4n1', 2, 'namespace', 'nvme-tcp', identity=ours)
    assert every.of(elsewhere) is not None
    assert not every.contradicts(elsewhere)
    # Two names of different kinds may be one namespace's.
    nguid = dataclasses.replace(here, identity=f'nguid.{other.removeprefix("uuid.")}')
    assert not every.contradicts(nguid)


@pytest.mark.parametrize('is_first', [True, False])
def test_the_newest_note_counts(is_first: bool) -> None:
    """A service was killed, and what it had attached was removed by hand: its note stays."""
    left = [noted(OTHER, at=1.0), noted(WWID, 'dm-9', wanted=4, at=2.0)]
    own = noted(WWID, wanted=2, at=3.0)
    every = inventory_names.Notes([own, *left] if is_first else [*left, own])
    assert every.of(MAP) == own
    assert not every.contradicts(MAP)
    assert inventory_names.Notes([*left, noted(OTHER, at=4.0)]).contradicts(MAP) == OTHER


def test_a_note_names_and_counts(host: fake_host.Host) -> None:
    unit = mapped(host, f'volume-{ID}'.replace('8f0c', '0000'), portals=2)
    found = noted(unit.wwid, 'dm-0', wanted=3, attachment_id='abc', at=86400.0)
    keep(host.tree.at('/run/os-brick'), found, boot='')
    [volume] = inventory.read().volumes
    assert [name.source for name in volume.names] == ['note', 'target']
    assert (volume.volume_id, volume.name and volume.name.since) == (
        ID,
        '1970-01-02T00:00:00+00:00',
    )
    assert (volume.ready_paths, volume.expected_paths, volume.state) == (2, 3, State.DEGRADED)


@pytest.mark.parametrize('at', [0.0, 1e300, 1e15])
def test_a_moment_that_is_none(at: float) -> None:
    name = inventory_names.of_note(noted(at=at))
    assert name is not None
    assert name.since == ''


def test_a_device_that_was_attached_as_another_volume(host: fake_host.Host) -> None:
    mapped(host)
    keep(host.tree.at('/run/os-brick'), noted(OTHER, 'dm-0'), boot='')
    [volume] = inventory.read().volumes
    assert (volume.volume_id, volume.state) == ('', State.DEGRADED)
    assert volume.trouble == (f'it was attached as {OTHER}, which is another volume',)


# Notes that a service has beside its lock files.

NOVA, LOCKS = '/etc/nova/nova.conf', '/var/lib/nova/locks'


def beside_locks(host: fake_host.Host, text: str = '') -> None:
    """A volume whose note is nova's, and nova's configuration."""
    unit = mapped(host, portals=1)
    keep(host.tree.at(LOCKS), noted(unit.wwid, 'dm-0', wanted=1), boot='')
    default = '[oslo_concurrency]\nlock_path = $state_path/locks\n'
    host.tree.file(NOVA, text or default)


def test_notes_beside_the_locks_of_a_service_are_found(host: fake_host.Host) -> None:
    beside_locks(host)
    found = inventory.read()
    assert (found.volumes[0].volume_id, found.unread) == (ID, ())
    assert inventory.read(state_paths=['/run/os-brick']).volumes[0].volume_id == ''


def test_the_configuration_of_services_is_not_read_without_volumes(host: fake_host.Host) -> None:
    host.tree.file(NOVA, 'garbled')
    assert inventory.read().unread == ()


@pytest.mark.parametrize('text', ['garbled\n[', 'password = S3cret\n[os_brick]\n'])
def test_a_configuration_that_is_none_is_told_without_a_word_of_it(
    text: str, host: fake_host.Host
) -> None:
    beside_locks(host, text)
    found = inventory.read()
    assert found.volumes[0].volume_id == ''
    [unread] = found.unread
    assert unread.what == f'{NOVA}, which tells where notes are'
    assert unread.why == 'it is not a configuration'


def test_a_configuration_that_may_not_be_read_is_told(
    host: fake_host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there may be notes that were not found: the volumes have no name for that reason."""
    beside_locks(host)
    read_regular = files.read_regular

    def refused(path: str, largest: int) -> bytes:
        if path == NOVA:
            raise PermissionError(errno.EACCES, 'Permission denied', path)
        return read_regular(path, largest)

    monkeypatch.setattr(files, 'read_regular', refused)
    [unread] = inventory.read().unread
    assert (unread.what, unread.why) == (f'{NOVA}, which tells where notes are', 'needs root')


def test_locks_that_any_user_can_replace_are_not_trusted(host: fake_host.Host) -> None:
    beside_locks(host)
    host.tree.at(LOCKS).chmod(0o777)
    found = inventory.read()
    assert found.volumes[0].volume_id == ''
    assert [each.what for each in found.unread] == [LOCKS]


def test_a_place_of_notes_that_hangs_costs_its_own_line(
    host: fake_host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a directory on a share whose server is away."""
    beside_locks(host)
    directory, goes_on = shared_files.directory, threading.Event()

    def hanging(path: str, mode: int | None = None) -> Any:
        if path.endswith(LOCKS):
            goes_on.wait(20)
        return directory(path, mode)

    monkeypatch.setattr(shared_files, 'directory', hanging)
    try:
        found = inventory.read_within(3)
    finally:
        goes_on.set()
    assert [volume.device for volume in found.volumes] == ['dm-0']
    [unread] = found.unread
    assert (unread.what, unread.why) == (LOCKS, 'it does not answer')


def test_two_images_of_one_name_in_the_places_of_two_services(tmp_path: pathlib.Path) -> None:
    """Of other protocols a key is one volume's, and the first place counts."""
    with files.use(str(tmp_path)):
        (tmp_path / 'proc/sys/kernel/random').mkdir(parents=True)
        (tmp_path / 'proc/sys/kernel/random/boot_id').write_text('now\n')
        for place, device in (('a', 'rbd0'), ('b', 'rbd1')):
            for key in ('rbd rbd/gold', 'powerflex 1'):
                found = note.Note(key=key, protocol=key.split()[0], device=device, result={})
                keep(tmp_path / place, found)
        named = inventory_names.notes(inventory_look.Look(), ['/a', '/b'])
    assert sorted((each.protocol, each.device) for each in named) == [
        ('powerflex', 'rbd0'),
        ('rbd', 'rbd0'),
        ('rbd', 'rbd1'),
    ]
