# SPDX-License-Identifier: Apache-2.0
"""Volumes by what they are called: of one name or ID twice, by notes that are not what they say."""

from collections.abc import Iterator
import itertools
import json
import os
import pathlib
from typing import Any

import pytest

from os_brick.cmd.exits import Exit
from os_brick.host import notes
from tests.unit.cmd.test_change import PROPS, Shell, shell  # noqa: F401
from tests.unit.fakehost import ceph, shares

ONE, TWO = '11111111-6d0b-4c31-9a55-3f0f5b0e7d11', '22222222-6d0b-4c31-9a55-3f0f5b0e7d11'


class Volumes:
    """An image of one name in each of two clusters."""

    def __init__(self, host: ceph.RbdHost) -> None:
        self.host = host
        self.clusters = [host.cluster('one'), host.cluster('two')]
        self.images = [each.image('gold') for each in self.clusters]

    def write(self, number: int, **more: Any) -> str:
        """A file with the properties of one."""
        path = f'/root/{number}.json'
        data = self.clusters[number].properties('rbd/gold', **more)
        self.host.tree.file(path, json.dumps({'driver_volume_type': 'rbd', 'data': data}))
        self.host.tree.at(path).chmod(0o600)
        return path

    def here(self) -> dict[int, ceph.Cluster]:
        return {number: each.cluster for number, each in self.host.rbd.items()}


@pytest.fixture
def volumes(tmp_path: pathlib.Path) -> Iterator[Volumes]:
    with ceph.RbdHost(tmp_path) as host:
        yield Volumes(host)


def test_images_of_one_name_are_told_apart_by_their_ids(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    state_path: str,
) -> None:
    """The second attach replaced the note of the first, which was "not found" then."""
    one, two = volumes.clusters
    for number, volume in enumerate((ONE, TWO)):
        assert shell.run('attach', volumes.write(number, volume_id=volume)) == Exit.OK, shell.err
    volumes.images[0].size *= 2
    assert shell.run('extend', ONE) == Exit.OK, shell.err
    assert shell.out.strip() == str(volumes.images[0].size)
    assert shell.run('detach', volumes.write(1, volume_id=TWO)) == Exit.OK
    assert volumes.here() == {0: one}
    assert shell.run('attach', volumes.write(1, volume_id=TWO)) == Exit.OK
    assert shell.run('detach', ONE[:8]) == Exit.OK, shell.err
    assert shell.out.strip() == ONE
    assert volumes.here() == {1: two}
    assert shell.run('detach', '/dev/rbd1') == Exit.OK, shell.err
    assert shell.out.strip() == TWO
    assert notes.every(state_path) == notes.Noted()


def test_of_one_id_twice_the_devices_are_named(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
) -> None:
    """A mirrored image has its name and its ID in both clusters."""
    for number in (0, 1):
        assert shell.run('attach', volumes.write(number, volume_id=ONE)) == Exit.OK, shell.err
    assert shell.run('detach', ONE) == Exit.USAGE
    named = {line.strip() for line in shell.err.splitlines() if line.startswith('  ')}
    assert {'/dev/rbd0', '/dev/rbd1'} <= named
    assert shell.run('detach', '/dev/rbd1') == Exit.OK
    assert volumes.here() == {0: volumes.clusters[0]}
    assert shell.run('detach', ONE) == Exit.OK
    assert volumes.here() == {}


def test_images_of_one_name_are_noted_by_two_services(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    state_path: str,
    tmp_path: pathlib.Path,
) -> None:
    """Each has the note of its own in the first place; a start of both IDs is neither."""
    one, two = 'same-1111', 'same-2222'
    assert shell.run('attach', volumes.write(0, volume_id=one)) == Exit.OK
    place = pathlib.Path(state_path).rename(tmp_path / 'of-nova')
    text = f'[os_brick]\nstate_path = {place}\n'
    volumes.host.tree.file('/etc/nova/nova.conf', text)
    assert shell.run('attach', volumes.write(1, volume_id=two)) == Exit.OK
    assert shell.run('detach', 'same') == Exit.USAGE
    assert one in shell.err
    assert two in shell.err
    assert shell.run('detach', one) == Exit.OK, shell.err
    assert volumes.here() == {1: volumes.clusters[1]}
    assert shell.run('detach', 'same') == Exit.OK, shell.err
    assert volumes.here() == {}


def test_what_has_gone_is_not_meant(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    state_path: str,
) -> None:
    """It was unmapped by hand, and attached anew by another service."""
    path = volumes.write(0, volume_id=ONE)
    assert shell.run('attach', path) == Exit.OK
    volumes.host.map_by_hand(volumes.clusters[1], 'gold')
    volumes.host.forget(volumes.host.rbd[0])
    volumes.host.map_by_hand(volumes.clusters[1], 'gold')
    place = pathlib.Path(state_path).rename(pathlib.Path(state_path).with_name('of-nova'))
    volumes.host.tree.file('/etc/nova/nova.conf', f'[os_brick]\nstate_path = {place}\n')
    assert shell.run('attach', path) == Exit.OK
    assert len(volumes.here()) == 3
    assert shell.run('detach', ONE) == Exit.OK, shell.err
    assert all(each is volumes.clusters[1] for each in volumes.here().values())
    assert len(volumes.here()) == 2


def test_a_volume_is_asked_for_as_its_user_by_its_id(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    state_path: str,
) -> None:
    """The user is no secret; the note had none, and the cluster rejected what was asked."""
    path = volumes.write(0, volume_id=ONE, keyring=None)
    volumes.host.tree.file(
        '/etc/ceph/ceph.client.cinder.keyring', f'[client.cinder]\n\tkey = {ceph.SECRET}\n'
    )
    assert shell.run('attach', path) == Exit.OK, shell.err
    (noted,) = notes.every(state_path).notes
    assert noted.properties['auth_username'] == 'cinder'
    # By other monitors than it was mapped by the cluster alone knows whose the device is.
    volumes.clusters[0].monitors |= {'10.0.0.9:6789'}
    place = _note(state_path)
    raw = json.loads(place.read_text())
    raw['properties'] |= {'hosts': ['10.0.0.9'], 'ports': ['6789']}
    place.write_text(json.dumps(raw))
    volumes.images[0].size *= 2
    assert shell.run('extend', ONE) == Exit.OK, shell.err
    assert shell.run('detach', ONE) == Exit.OK, shell.err
    assert volumes.here() == {}


def _note(state_path: str) -> pathlib.Path:
    (place,) = pathlib.Path(state_path).glob(f'{notes.NOTE}*')
    return place


def test_no_key_is_in_a_note(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    state_path: str,
) -> None:
    assert shell.run('attach', volumes.write(0, volume_id=ONE)) == Exit.OK
    assert ceph.SECRET not in _note(state_path).read_text()


@pytest.mark.parametrize('protocol', ['local', 'nfs', 'vmdk', 'gpfs'])
@pytest.mark.parametrize('whole', [False, True])
def test_a_note_of_another_protocol_does_not_answer_for_a_device(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    state_path: str,
    protocol: str,
    whole: bool,
) -> None:
    """It had the connector of that protocol called, which did nothing, and the exit code was 0."""
    assert shell.run('attach', volumes.write(0, volume_id=ONE)) == Exit.OK
    place = _note(state_path)
    raw = json.loads(place.read_text())
    raw |= {'protocol': protocol, 'properties': {'device_path': '/dev/rbd0', 'export': 'nas:/a'}}
    if whole:
        raw |= {'key': f'{protocol} x'}
        place = place.rename(place.with_name(f'{notes.NOTE}{notes.digest(raw["key"])}'))
    place.write_text(json.dumps(raw))
    words = ['/dev/rbd0', 'rbd0'] + ([] if whole and protocol in ('nfs', 'vmdk') else [ONE])
    for what in words:
        for more in ((), ('--plan',)):
            assert shell.run('detach', what, *more) == Exit.NOT_THERE
    assert volumes.here() == {0: volumes.clusters[0]}


def test_a_file_that_is_named_without_a_slash(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attach takes its name; a detach does not, as a word may be that of a volume, too."""
    volumes.write(0)
    monkeypatch.setattr(os.path, 'abspath', lambda path: os.path.join('/root', path))
    assert shell.run('attach', '0.json') == Exit.OK, shell.err
    for operation in ('detach', 'extend'):
        assert shell.run(operation, '0.json') == Exit.NOT_THERE
        assert 'If it is meant: ./0.json' in shell.err
        assert shell.run(operation, '1.json') == Exit.NOT_THERE
        assert './volume.json' in shell.err
        assert shell.run(operation, '--help') == Exit.OK
        assert './FILE' in shell.out


def test_what_is_detached_is_told_by_its_id(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
) -> None:
    """Not by the file that its properties were in; without an ID by its device."""
    path = volumes.write(0, volume_id=ONE)
    for what in (path, ONE, '/dev/rbd0'):
        assert shell.run('attach', path) == Exit.OK
        assert shell.run('detach', what, '-f', 'json') == Exit.OK
        assert shell.document['detached'] == ONE
    assert shell.run('attach', volumes.write(0)) == Exit.OK
    assert shell.run('detach', 'rbd0', '-f', 'json') == Exit.OK
    assert shell.document['detached'] == '/dev/rbd0'


@pytest.mark.parametrize('path', ['x', '/dev/null\n/dev/x', '/dev/nothing', './x'])
def test_a_local_volume_that_is_not_there_is_not_attached(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    path: str,
) -> None:
    for kind in ('local', 'gpfs'):
        connection = {'driver_volume_type': kind, 'data': {'device_path': path}}
        volumes.host.tree.file(PROPS, json.dumps(connection))
        for operation, more in itertools.product(('attach', 'detach', 'extend'), ((), ('--plan',))):
            code = shell.run(operation, PROPS, *more)
            if not path.startswith('/'):
                assert code == Exit.USAGE
            elif operation == 'attach':
                assert (code, shell.out) == (1, '')


@pytest.mark.parametrize('base', ['/mnt/../etc', '/etc', '/usr/share/x'])
def test_a_share_below_the_systems_own_directories(
    tmp_path: pathlib.Path,
    shell: Shell,  # noqa: F811
    base: str,
) -> None:
    """The plan refuses what the attach does, in the same words."""
    with shares.Shares(tmp_path) as host:
        host.server('nas', '/srv/a')
        data = {'export': 'nas:/srv/a', 'name': 'volume-1'}
        connection = {'driver_volume_type': 'nfs', 'data': data, 'mount_point_base': base}
        host.tree.file(PROPS, json.dumps(connection))
        host.tree.at(PROPS).chmod(0o600)
        for words in (('--plan',), ()):
            assert shell.run('attach', PROPS, *words) == Exit.USAGE
            assert 'is not a place where a share may be mounted' in shell.err
            assert '{' not in shell.err
            assert 'beside data' not in shell.err
        assert not host.mounts


@pytest.mark.parametrize('which', [0, 1])
def test_the_namesake_that_has_gone_is_not_meant(
    volumes: Volumes,
    shell: Shell,  # noqa: F811
    which: int,
) -> None:
    """A mirrored image has one ID in both clusters; one of them was unmapped by hand."""
    for number in (0, 1):
        assert shell.run('attach', volumes.write(number, volume_id=ONE)) == Exit.OK, shell.err
    (gone,) = (
        each for each in volumes.host.rbd.values() if each.cluster is volumes.clusters[which]
    )
    volumes.host.forget(gone)
    assert shell.run('detach', ONE) == Exit.OK, shell.err
    assert volumes.here() == {}
