# SPDX-License-Identifier: Apache-2.0
"""A part of a file is read, and nothing that could hang."""

import os
import pathlib

import pytest

from os_brick.core import parts


def test_the_beginning_and_the_end(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'log'
    file.write_bytes(b'0123456789')
    assert parts.read(str(file), 4) == b'0123'
    assert parts.read(str(file), 4, from_end=True) == b'6789'
    assert parts.read(str(file), 40, from_end=True) == parts.read(str(file), 40) == b'0123456789'


def test_what_is_not_a_file_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / 'fifo')
    for name in ('fifo', '.', 'nothing'):
        with pytest.raises(OSError, match=name if name != '.' else ''):
            parts.read(str(tmp_path / name), 4)
