# SPDX-License-Identifier: Apache-2.0
"""Root functions of RBD take nothing but what they are for."""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.privileged import rbd as root
from tests.unit.fakehost import ceph

MARK = 'os-brick-map-0123456789abcdef'
GOOD: dict[str, Any] = {
    'monitors': ('10.0.0.1:6789',),
    'user': 'cinder',
    'cluster': 'ceph',
    'secret': ceph.SECRET,
    'image': ('rbd', 'v1', '', ''),
    'mark': MARK,
    'read_only': False,
    'timeout': 5.0,
}


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        found.cluster().image('v1')
        yield found


BAD: list[dict[str, Any]] = [
    {'monitors': ()},
    {'monitors': '10.0.0.1'},
    {'monitors': ('mon-a:6789',)},
    {'monitors': ('10.0.0.1:6789 ro',)},
    {'monitors': ('10.0.0.1:6789,10.0.0.2:6789',)},
    {'user': 'a,ro'},
    {'user': 'a b'},
    {'user': 7},
    {'cluster': '../..'},
    {'cluster': 'a/b'},
    {'secret': 'geheim'},
    {'secret': 7},
    {'image': ('rbd', 'v1 -\n0', '', '')},
    {'image': ('rbd',)},
    {'image': ('rbd', 'a/b', '', '')},
    {'image': ('rbd', 'v1', 'gold,ro x', '')},
    {'image': ('rbd', 'v1', '', 'a b')},
    {'image': ('rbd', 'v1', '', '-')},
    {'image': 'rbd/v1'},
    {'image': ('r' * 1024, 'v' * 1024, 'n' * 1024, 's' * 1024)},
    {'mark': 'client.admin'},
    {'mark': f'{MARK},ro'},
    {'mark': 7},
    {'timeout': 0},
]


@pytest.mark.parametrize('change', BAD, ids=lambda change: str(change)[:40])
def test_bad_arguments(host: ceph.RbdHost, change: dict[str, Any]) -> None:
    before = host.snapshot()
    with pytest.raises((exception.InvalidParameterValue, OSError)) as caught:
        root.add(**{**GOOD, **change})
    assert 'geheim' not in str(caught.value)
    assert host.snapshot() == before
    assert not host.written


def test_an_option_of_a_namespace_is_one_option(host: ceph.RbdHost) -> None:
    """A comma in a name of a namespace would be another option of the map."""
    with pytest.raises(exception.InvalidParameterValue, match='comma'):
        root.add(**{**GOOD, 'image': ('rbd', 'v1', 'gold,ro', '')})
    assert not host.written


def test_what_of_a_map_is_told(host: ceph.RbdHost) -> None:
    """Monitors and our mark, and no key of anyone."""
    assert root.add(**GOOD) == 0
    host.rbd[0].told = f'10.0.0.1:6789 name=a,secret={ceph.SECRET} rbd v1 -'
    host.show(host.rbd[0])
    assert root.configurations() == [(0, ['10.0.0.1:6789'], '')]


@pytest.mark.parametrize('number', [-1, '0', '0 force', True, 2**21, None])
def test_a_number_is_one(host: ceph.RbdHost, number: Any) -> None:
    root.add(**GOOD)
    for call in (
        lambda: root.remove(number, ('',) * 5, False, 5.0),
        lambda: root.refresh(number, ('',) * 5, 5.0),
    ):
        with pytest.raises(exception.InvalidParameterValue):
            call()
    assert list(host.rbd) == [0]


def test_another_image_is_left_alone(host: ceph.RbdHost) -> None:
    root.add(**GOOD)
    with pytest.raises(FileNotFoundError):
        root.remove(0, ('other', '1', '', 'abc', '1'), True, 5.0)
    with pytest.raises(FileNotFoundError):
        root.refresh(0, ('other', '1', '', 'abc', '1'), 5.0)
    # Of a device that is not there nothing is shown, and its number may be another's soon.
    written = list(host.written)
    for act in (
        lambda: root.remove(99, ('',) * 5, True, 5.0),
        lambda: root.refresh(99, ('',) * 5, 5.0),
    ):
        with pytest.raises(FileNotFoundError):
            act()
    assert host.written == written
    assert list(host.rbd) == [0]


def test_the_module_is_loaded_if_it_is_not_there(host: ceph.RbdHost) -> None:
    host.tree.remove(ceph.BUS)

    def modprobe(argv: tuple[str, ...], **_keywords: Any) -> tuple[int, str, str]:
        for verb in host.verbs:
            host.tree.file(f'{ceph.BUS}/{verb}{host.suffix}')
        host.tree.directory(f'{ceph.BUS}/devices')
        return 0, '', ''

    host.programs['modprobe'] = modprobe
    assert root.add(**GOOD) == 0
    assert host.commands == [('modprobe', 'rbd')]


@pytest.mark.parametrize(
    ('path', 'is_removed'),
    [('/tmp/brickrbd_a', True), ('/tmp/other', False), ('/etc/brickrbd_a', False)],
)
def test_only_files_of_ours_are_removed(host: ceph.RbdHost, path: str, is_removed: bool) -> None:
    host.tree.file(path)
    if is_removed:
        root.remove_old_conf(path)
        root.remove_old_conf(path)
    else:
        with pytest.raises(exception.InvalidParameterValue):
            root.remove_old_conf(path)
    assert host.tree.at(path).exists() != is_removed


def test_what_is_no_file_stays(host: ceph.RbdHost) -> None:
    host.tree.file('/etc/passwd')
    host.tree.link('/tmp/brickrbd_link', '/etc/passwd')
    host.tree.directory('/tmp/brickrbd_dir')
    for name in ('link', 'dir'):
        root.remove_old_conf(f'/tmp/brickrbd_{name}')
        assert host.tree.at(f'/tmp/brickrbd_{name}').exists()
