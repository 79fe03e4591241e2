# SPDX-License-Identifier: Apache-2.0
"""Which links of encrypted volumes were made for a device that has gone."""

from collections.abc import Callable, Iterator
import pathlib
import shutil
from typing import Any

from oslo_config import cfg
import pytest

from os_brick.core import files
from os_brick.host import block, links, notes, stale_links
from os_brick.model import note

LINK = '/dev/disk/by-id/os-brick+dev+vdx'
OTHER = '/dev/disk/by-id/os-brick+dev+disk+by-id+dm-uuid-gone'


class Host:
    """A host with a device vdx, and notes of volumes."""

    def __init__(self, root: pathlib.Path, state_path: str) -> None:
        self.root = root
        self.place = pathlib.Path(state_path)
        (root / 'dev/disk/by-id').mkdir(parents=True)
        (root / 'dev/mapper').mkdir()
        (root / 'sys/class/block').mkdir(parents=True)
        self.device()

    def device(self) -> None:
        """Another device of the name."""
        (self.root / 'dev/vdx').touch()
        place = self.root / 'sys/class/block/vdx'
        if place.exists():
            place.rename(self.root / f'gone{place.stat().st_ino}')
        place.mkdir()

    def note(self, key: str, link: str, identity: str = '') -> note.Note:
        """A volume has been attached as the device that there is now."""
        number = block.inode('vdx')
        result = {'type': 'block', 'path': link}
        found = note.Note(key=key, device='vdx', number=number, identity=identity, result=result)
        self.place.mkdir(mode=0o750, exist_ok=True)
        (self.place / f'{notes.NOTE}{notes.digest(key)}').write_text(notes.text(found))
        return found

    def remove(self, own: str = '', identity: str = '') -> list[str]:
        """An attach hands the device out; return the links that are left."""
        stale_links.remove_at('/dev/vdx', own, identity, str(self.place))
        return links.every()


@pytest.fixture
def host(tmp_path: pathlib.Path, state_path: str) -> Iterator[Host]:
    (tmp_path / 'locks').mkdir()
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    with files.use(str(tmp_path / 'root')):
        yield Host(tmp_path / 'root', state_path)
    cfg.CONF.clear_override('lock_path', group='os_brick')


@pytest.mark.parametrize('link', [LINK, OTHER])
@pytest.mark.parametrize('target', ['/dev/vdx', '../../vdx'])
def test_a_link_to_the_device_goes(host: Host, link: str, target: str) -> None:
    (host.root / link[1:]).symlink_to(target)
    host.note('gone', link)
    assert host.remove() == [link]
    host.device()
    assert host.remove() == []


@pytest.mark.parametrize('identity', ['', 'gold'])
def test_a_link_of_which_nothing_proves_that_it_is_another_volumes(
    host: Host, identity: str
) -> None:
    """Of this volume, attached by an earlier release, or noted where this service does not read."""
    links.make('/dev/vdx')
    assert host.remove(identity=identity) == [LINK]
    host.note('one', LINK, 'gold')
    host.device()
    assert host.remove(identity='gold') == [LINK]  # It has come back with a new login.
    (host.place / f'{notes.NOTE}{notes.digest("two")}').write_text('{')
    assert host.remove(identity='silver') == [LINK]


@pytest.mark.parametrize(
    ('link', 'target', 'is_left'),
    [
        (LINK, '/dev/mapper/gone', False),  # Its encryptor has ended.
        (OTHER, '/dev/mapper/gone', True),  # Of no one knows which device.
        (LINK, '/dev/mapper/crypt', True),  # To decrypted content, which is not the device.
        (OTHER, '/dev/vdy', True),
    ],
)
def test_a_link_that_does_not_lead_to_it(host: Host, link: str, target: str, is_left: bool) -> None:
    (host.root / 'dev/mapper/crypt').touch()
    (host.root / link[1:]).symlink_to(target)
    host.note('gone', link)
    host.device()
    assert host.remove() == [link] * is_left


@pytest.mark.parametrize('identity', ['', 'gold'])
def test_the_link_of_an_attached_volume_stays(host: Host, identity: str) -> None:
    """Of the same volume under another key: no other one has the device."""
    links.make('/dev/vdx')
    host.note('one', LINK, identity)
    assert host.remove(identity='gold') == [LINK]
    host.device()
    assert host.remove(identity='silver') == []


def test_the_array_has_put_another_volume_behind_the_device(host: Host) -> None:
    links.make('/dev/vdx')
    host.note('one', LINK, 'silver')
    assert host.remove(identity='gold') == []


def test_what_the_attach_has_made_itself_stays(host: Host) -> None:
    own = links.make('/dev/vdx')
    links.restore(OTHER, '/dev/vdx')
    host.note('gone', OTHER)
    host.device()
    assert host.remove(own) == [own]


def test_what_cannot_be_removed_is_logged(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    links.make('/dev/vdx')
    host.note('gone', LINK)
    host.device()

    def fail(*_paths: object) -> None:
        raise OSError(30, 'Read-only file system')

    monkeypatch.setattr('os.rename', fail)
    assert host.remove() == [LINK]
    assert 'Read-only file system' in caplog.text


Change = Callable[[Host], Any]


@pytest.mark.parametrize(
    ('change', 'found'),
    [
        (lambda host: None, ''),  # Its device is still there.
        (lambda host: host.device(), LINK),
        (lambda host: (host.device(), host.note('one', LINK)), LINK),
        (lambda host: (host.device(), host.note('other', LINK)), ''),  # Which has it by now.
        (lambda host: (host.device(), host.note('other', '/dev/vdx')), LINK),
        (lambda host: (host.device(), links.restore(LINK, '/dev/mapper/crypt')), ''),
        (lambda host: (host.device(), links.restore(LINK, '/dev/mapper/gone')), LINK),
        (lambda host: shutil.rmtree(host.root / 'sys/class/block/vdx'), LINK),
    ],
)
def test_the_link_of_a_volume(host: Host, change: Change, found: str) -> None:
    (host.root / 'dev/mapper/crypt').touch()
    links.make('/dev/vdx')
    known = host.note('one', LINK)
    change(host)
    assert stale_links.of_volume(known, str(host.place)) == found


@pytest.mark.parametrize(
    'result', [None, {}, {'path': 5}, {'path': '/dev/vdx'}, {'path': '/dev/disk/by-id/x'}]
)
def test_a_volume_without_a_link(host: Host, result: dict[str, Any] | None) -> None:
    assert not stale_links.of_volume(None, str(host.place))
    known = note.Note(key='one', device='vdx', number=1, result=result)
    assert not stale_links.of_volume(known, str(host.place))


@pytest.mark.parametrize(
    ('volumes', 'has_gone', 'is_left'),
    [
        ([], False, True),  # No one knows whose it is.
        (['silver'], False, False),
        (['gold'], True, True),  # The same volume's device has come back.
        ([''], False, True),
        ([''], True, False),
        (['silver', ''], False, True),
        (['silver', ''], True, False),
        (['silver', 'gold'], True, True),
    ],
)
def test_a_link_goes_if_each_note_of_it_is_proven_to_be_of_another_volume(
    host: Host, volumes: list[str], has_gone: bool, is_left: bool
) -> None:
    """By who the volumes are; where that is not known of one, by whether its device has gone."""
    links.make('/dev/vdx')
    for number, volume in enumerate(volumes):
        host.note(f'key {number}', LINK, volume)
    if has_gone:
        host.device()
    assert host.remove(identity='gold') == [LINK] * is_left


def test_a_link_stays_while_a_note_cannot_be_read(host: Host) -> None:
    """It may be one of the link."""
    links.make('/dev/vdx')
    host.note('one', LINK, 'silver')
    (host.place / f'{notes.NOTE}{notes.digest("other")}').write_text('{')
    assert host.remove(identity='gold') == [LINK]
