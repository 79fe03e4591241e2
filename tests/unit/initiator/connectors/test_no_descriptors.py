# SPDX-License-Identifier: Apache-2.0
"""A process that can open no file for a moment takes nothing for gone.

A service has a limit of open files (RLIMIT_NOFILE, 1024 by default); its other threads may have
used it up. Then a directory of sysfs is not empty, and a device not gone: it was not looked at.
"""

import errno
import os
import pathlib
import sys
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import files
from tests.unit import planned

OPENERS = ('open', 'listdir', 'scandir')
# Every so-many-th opening fails alone; over all protocols each kind of look is among them.
STRIDE = 9


class Openings:
    """Has one opening of a file or directory of the host fail with EMFILE."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: pathlib.Path) -> None:
        self.left: int | None = None
        self._root = str(root)
        for name in OPENERS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, real: Any) -> Any:
        def opened(path: Any = '.', *args: Any, **kwargs: Any) -> Any:
            # Not those of the fake host itself.
            is_ours = sys._getframe(1).f_code.co_filename == files.__file__
            if is_ours and self.left is not None and str(path).startswith(self._root):
                self.left -= 1
                if self.left == 0:
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
            return real(path, *args, **kwargs)

        return opened


def _left(stage: planned.Stage) -> object:
    """What there is; without what its agent's double keeps of the past."""
    found: Any = stage.contents()
    return found[0] if stage.protocol == 'lightos' else found


@pytest.mark.parametrize('name', planned.STAGES)
def test_a_detach_leaves_nothing_and_says_so(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in an error, or the volume is gone; and a second one finds what is left."""
    with planned.STAGES[name](tmp_path) as stage:
        stage.do('attach')
        stage.do('detach')
        usual = _left(stage)
        openings = Openings(monkeypatch, stage.root)
        for number in range(1, 1000, STRIDE):
            stage.do('attach')
            openings.left = number
            try:
                stage.do('detach')
            except (OSError, exception.BrickException):
                openings.left = None
                stage.do('detach')
            is_over = openings.left is not None and openings.left > 0
            openings.left = None
            assert _left(stage) == usual, number
            if is_over:
                break
