# SPDX-License-Identifier: Apache-2.0
"""What is read of notes: processes, the list of operations; test_note_entry has the rest."""

import dataclasses
import json
import os
import pathlib

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
