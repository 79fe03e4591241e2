# SPDX-License-Identifier: Apache-2.0
"""What cannot be read is kept, what is not there is not."""

import errno
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import inventory_look


@pytest.mark.parametrize(
    ('number', 'why'),
    [
        (errno.ENOENT, None),
        (errno.ENXIO, None),
        (errno.EACCES, 'needs root'),
        (errno.EIO, 'Input/output error'),
    ],
)
def test_what_is_missing(number: int, why: str | None, tmp_path: pathlib.Path) -> None:
    with files.use(str(tmp_path)):
        look = inventory_look.Look()
        look.missed('a thing', OSError(number, 'Input/output error'))
        look.missed('a thing', OSError(number, 'Input/output error'))
    assert [(each.what, each.why) for each in look.unread] == ([('a thing', why)] if why else [])


def test_a_file_that_is_a_directory_is_missed(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'sys/class/block/sda/size').mkdir(parents=True)
    with files.use(str(tmp_path)):
        look = inventory_look.Look()
        assert look.size('sda') is None
    assert [each.what for each in look.unread] == ['/sys/class/block/sda/size']
