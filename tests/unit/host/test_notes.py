# SPDX-License-Identifier: Apache-2.0
"""What is read of notes: processes, the list of operations; test_note_entry has the rest."""

import dataclasses
import json
import os
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import notes
from os_brick.model import note


def test_this_process() -> None:
    found = notes.process()
    assert found.pid == os.getpid()
    assert found.program
    assert notes.is_running(found) is True
    assert notes.is_running(dataclasses.replace(found, started=found.started + 1)) is False
    assert notes.is_running(dataclasses.replace(found, namespace=1)) is None


def test_a_process_whose_name_has_brackets(tmp_path: pathlib.Path) -> None:
    place = tmp_path / 'proc/7'
    place.mkdir(parents=True)
    fields = ' '.join(['S', *['0'] * 18, '4711', '0'])
    (place / 'stat').write_text(f'7 (a) b (c) {fields}')
    with files.use(str(tmp_path)):
        assert notes.is_running(note.Process('a', 7, 4711, 0)) is True
        assert notes.is_running(note.Process('a', 8, 4711, 0)) is False


@pytest.mark.parametrize(
    ('words', 'program'),
    [
        (['/usr/bin/python3', '/usr/bin/nova-compute', '--config-file', 'x'], 'nova-compute'),
        (['python3.11', '-W', 'ignore', '-X', 'dev', '-u', '/opt/cinder-volume'], 'cinder-volume'),
        (['python3', '-m', 'os_brick', 'attach'], 'os_brick'),
        (['python3', '-c', 'import x'], 'python3'),
        (['/usr/bin/qemu', '-name', 'x'], 'qemu'),
        (['python3'], 'python3'),
        ([], ''),
    ],
)
def test_what_a_process_was_started_as(
    tmp_path: pathlib.Path, words: list[str], program: str
) -> None:
    place = tmp_path / 'proc/self'
    place.mkdir(parents=True)
    (place / 'cmdline').write_text('\0'.join(words))
    with files.use(str(tmp_path)):
        assert notes.process().program == program


def test_processes_that_this_user_does_not_see(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc with hidepid has no directory of them; of those of this user it has."""
    monkeypatch.setattr(os, 'geteuid', lambda: 162)
    with files.use(str(tmp_path)):
        assert notes.is_running(note.Process('a', 7, 4711, 0)) is None
        assert notes.is_running(note.Process('a', 7, 4711, 162)) is False
        (tmp_path / 'proc/1').mkdir(parents=True)
        (tmp_path / 'proc/1/stat').write_text('1 (init) S')
        assert notes.is_running(note.Process('a', 7, 4711, 0)) is False


def test_a_directory_that_is_not_there(tmp_path: pathlib.Path) -> None:
    """Nothing is noted, nothing is unread, and nothing is made by looking."""
    place = str(tmp_path / 'state')
    assert notes.every(place) == notes.Noted()
    assert notes.operations(place) == ()
    assert not os.path.exists(place)


def test_lines_of_the_list_that_are_none_are_left_out(tmp_path: pathlib.Path) -> None:
    past = note.Past('attach', 'iscsi', 'done', 2.0, 0.5)
    lines = [json.dumps(dataclasses.asdict(past)), '{"operation": "att', 'null', '\x00']
    (tmp_path / f'{notes.LIST}{os.geteuid()}').write_text('\n'.join(lines))
    earlier = dataclasses.replace(past, at=1.0)
    older = json.dumps(dataclasses.asdict(earlier))
    (tmp_path / f'{notes.LIST}{os.geteuid()}.1').write_text(older)
    assert notes.operations(str(tmp_path)) == (earlier, past)
