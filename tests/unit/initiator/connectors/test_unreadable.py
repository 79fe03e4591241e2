# SPDX-License-Identifier: Apache-2.0
"""What cannot be read is not gone: an operation that cannot look at the host does not guess."""

import errno
import os
import pathlib
import sys
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import absence, files, resolved
from tests.unit import planned

LOOKS = ('open', 'listdir', 'scandir', 'stat', 'lstat', 'readlink')
# One look fails alone: often among the first, which find what is here, then every so-many-th.
NUMBERS = (*range(1, 40, 3), *range(40, 2000, 41))
OURS = (absence.__file__, files.__file__, resolved.__file__)


class Looks:
    """Has one look at a file or directory of the host fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: pathlib.Path, error: int) -> None:
        self.left: int | None = None
        self.failed = ''
        self._root, self._error = str(root), error
        for name in LOOKS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, real: Any) -> Any:
        def look(path: Any = '.', *args: Any, **kwargs: Any) -> Any:
            # Not those of the fake host itself.
            is_ours = sys._getframe(1).f_code.co_filename in OURS
            if is_ours and self.left is not None and str(path).startswith(self._root):
                self.left -= 1
                if self.left == 0:
                    self.failed = str(path)
                    raise OSError(self._error, os.strerror(self._error), path)
            return real(path, *args, **kwargs)

        return look


def _left(stage: planned.Stage) -> object:
    """What there is; without what its agent's double keeps of the past."""
    found: Any = stage.contents()
    return found[0] if stage.protocol == 'lightos' else found


@pytest.mark.parametrize(
    ('name', 'error'), [*((each, errno.EIO) for each in planned.STAGES), ('iscsi', errno.EACCES)]
)
def test_a_detach_leaves_nothing_and_says_so(
    name: str, error: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in an error, or the volume is gone; and a second one finds what is left."""
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    with planned.STAGES[name](tmp_path) as stage:
        stage.do('attach')
        stage.do('detach')
        usual = _left(stage)
        looks = Looks(monkeypatch, stage.root, error)
        for number in NUMBERS:
            stage.do('attach')
            looks.left = number
            try:
                stage.do('detach')
            except (OSError, exception.BrickException):
                looks.left = None
                stage.do('detach')
            is_over = looks.left is not None and looks.left > 0
            looks.left = None
            assert _left(stage) == usual, (number, looks.failed)
            if is_over:
                break


@pytest.mark.parametrize('name', planned.STAGES)
def test_a_detach_after_an_attach_that_could_not_look(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever such an attach has made, it takes back, or a detach does."""
    with planned.STAGES[name](tmp_path) as stage:
        stage.do('attach')
        stage.do('detach')
        usual = _left(stage)
        looks = Looks(monkeypatch, stage.root, errno.EIO)
        for number in NUMBERS:
            looks.left = number
            try:
                stage.do('attach')
            except (OSError, exception.BrickException):
                pass
            is_over = looks.left > 0
            looks.left = None
            stage.do('detach')
            assert _left(stage) == usual, (number, looks.failed)
            if is_over:
                break
