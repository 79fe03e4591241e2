# SPDX-License-Identifier: Apache-2.0
"""A process that can open no file for a moment takes nothing for gone.

A service has a limit of open files (RLIMIT_NOFILE, 1024 by default); its other threads may have
used it up. Then a directory of sysfs is not empty, and a device not gone: it was not looked at.
"""

import errno
import pathlib

import pytest

from os_brick.core import files
from tests.unit import failing_looks, planned

OPENERS = ('open', 'listdir', 'scandir')
# Every so-many-th opening fails alone; over all protocols each kind of look is among them.
STRIDE = 9


@pytest.mark.parametrize('name', planned.STAGES)
def test_a_detach_leaves_nothing_and_says_so(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in an error, or the volume is gone; and a second one finds what is left."""
    with planned.STAGES[name](tmp_path) as stage:
        stage.do('attach')
        stage.do('detach')
        usual = failing_looks.left(stage)
        openings = failing_looks.Looks(
            monkeypatch, stage.root, errno.EMFILE, OPENERS, [files.__file__]
        )
        failing_looks.detach_each(stage, openings, range(1, 1000, STRIDE), usual)
