# SPDX-License-Identifier: Apache-2.0
"""One look at a file or directory of the fake host fails, in a detach of each kind of volume."""

from collections.abc import Collection, Iterable
import os
import pathlib
import sys
from typing import Any

import pytest

from os_brick import exception
from tests.unit import planned


class Looks:
    """Has one look at a file or directory of the host fail.

    :ivar left: how many there are until the one that fails; None for none.
    :ivar failed: the path of the last one that has.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        root: pathlib.Path,
        error: int,
        names: Iterable[str],
        ours: Collection[str | None],
    ) -> None:
        """Count the looks from now on.

        :param names: the functions of ``os`` that look.
        :param ours: the source files whose looks count: not those of the fake host itself.
        """
        self.left: int | None = None
        self.failed = ''
        self._root, self._error, self._ours = str(root), error, ours
        for name in names:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, real: Any) -> Any:
        def look(path: Any = '.', *args: Any, **kwargs: Any) -> Any:
            is_ours = sys._getframe(1).f_code.co_filename in self._ours
            if is_ours and self.left is not None and str(path).startswith(self._root):
                self.left -= 1
                if self.left == 0:
                    self.failed = str(path)
                    raise OSError(self._error, os.strerror(self._error), path)
            return real(path, *args, **kwargs)

        return look


def left(stage: planned.Stage) -> object:
    """What there is; without what its agent's double keeps of the past."""
    found: Any = stage.contents()
    return found[0] if stage.protocol == 'lightos' else found


def detach_each(stage: planned.Stage, looks: Looks, numbers: Iterable[int], usual: object) -> None:
    """Attach and detach with one look of the detach failing, for each number of one.

    It ends in an error, or the volume is gone; and a second one finds what is left.
    """
    for number in numbers:
        stage.do('attach')
        looks.left = number
        try:
            stage.do('detach')
        except (OSError, exception.BrickException):
            looks.left = None
            stage.do('detach')
        is_over = looks.left is not None and looks.left > 0
        looks.left = None
        assert left(stage) == usual, (number, looks.failed)
        if is_over:
            break
