# SPDX-License-Identifier: Apache-2.0
"""Where a service has its lock files and its notes, by its files of configuration."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import service_conf

PATH = '/etc/nova/nova.conf'


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'etc/nova').mkdir(parents=True)
    with files.use(str(tmp_path)):
        yield tmp_path / 'etc/nova'


@pytest.mark.parametrize(
    ('text', 'lock', 'notes'),
    [
        ('', '', ()),
        ('[os_brick]\nlock_path = /run/a/\n', '/run/a', ('/run/a',)),
        (
            '[oslo_concurrency]\nlock_path = $state_path/x\n',
            '/var/lib/nova/x',
            ('/var/lib/nova/x',),
        ),
        (
            '[DEFAULT]\nstate_path = /srv\n[oslo_concurrency]\nlock_path = ${state_path}/x\n',
            '/srv/x',
            ('/srv/x',),
        ),
        # Of groups oslo.config spells this one as it is.
        (
            '[default]\nstate_path = /srv\n[OS_Brick]\nlock_path = $state_path/x\n',
            '/var/lib/nova/x',
            ('/var/lib/nova/x',),
        ),
        (
            '[os_brick]\nlock_path = /run/a\nstate_path = /run/b\n[oslo_concurrency]\nlock_path=/c',
            '/run/a',
            ('/run/b', '/run/a'),
        ),
        ('[os_brick]\nlock_path = locks\nstate_path\n', 'locks', ()),
    ],
)
def test_where_locks_and_notes_are(
    text: str, lock: str, notes: tuple[str, ...], place: pathlib.Path
) -> None:
    (place / 'nova.conf').write_text(text)
    conf = service_conf.parsed(PATH)
    assert service_conf.lock_path('nova', conf) == lock
    assert service_conf.note_paths('nova', conf) == notes


def test_later_files_count(place: pathlib.Path) -> None:
    (place / 'nova.conf').write_text('[os_brick]\nlock_path = /run/a\n')
    (place / 'nova.conf.d').mkdir()
    (place / 'nova.conf.d/9.conf').write_text('[os_brick]\nlock_path = /run/b\n')
    assert service_conf.lock_path('nova', service_conf.parsed(PATH)) == '/run/b'


def test_what_is_no_configuration(place: pathlib.Path) -> None:
    (place / 'nova.conf').write_text('garbled\n')
    with pytest.raises(service_conf.NotConfiguration):
        service_conf.parsed(PATH)
    (place / 'nova.conf').unlink()
    (place / 'nova.conf').mkdir()
    with pytest.raises(OSError, match='regular'):
        service_conf.parsed(PATH)


def test_the_files_of_a_process(tmp_path: pathlib.Path, place: pathlib.Path) -> None:
    """What RDO ships comes first, and what nova-compute's unit names besides comes after."""
    (place / 'nova.conf').write_text('[os_brick]\nlock_path = /run/b\n')
    (tmp_path / 'usr/share/nova').mkdir(parents=True)
    dist = tmp_path / 'usr/share/nova/nova-dist.conf'
    dist.write_text('[os_brick]\nlock_path = /run/a\nstate_path = /run/n\n')
    assert list(service_conf.found()) == [('nova', PATH)]
    conf = service_conf.parsed(PATH)
    assert service_conf.note_paths('nova', conf) == ('/run/n', '/run/b')
    (place / 'nova-compute.conf').write_text('[os_brick]\nlock_path = /run/c\n')
    assert service_conf.lock_path('nova', service_conf.parsed(PATH)) == '/run/c'
    assert service_conf.lock_path('nova', service_conf.merged([PATH])) == '/run/b'


@pytest.mark.parametrize(
    ('path', 'project'),
    [
        (PATH, 'nova'),
        ('/etc/kolla/cinder-volume/cinder.conf', 'cinder'),
        ('/srv/cinder/my-nova.conf', 'nova'),
        ('/etc/brick.conf', ''),
    ],
)
def test_whose_file_it_is(path: str, project: str) -> None:
    assert service_conf.project_of(path) == project
