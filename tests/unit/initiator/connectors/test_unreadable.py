# SPDX-License-Identifier: Apache-2.0
"""What cannot be read is not gone: an operation that cannot look at the host does not guess."""

import errno
import os
import pathlib

import pytest

from os_brick import exception
from os_brick.core import absence, files, resolved
from tests.unit import failing_looks, planned

LOOKS = ('open', 'listdir', 'scandir', 'stat', 'lstat', 'readlink')
# One look fails alone: often among the first, which find what is here, then every so-many-th.
NUMBERS = (*range(1, 40, 3), *range(40, 2000, 41))
OURS = (absence.__file__, files.__file__, resolved.__file__)


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
        usual = failing_looks.left(stage)
        looks = failing_looks.Looks(monkeypatch, stage.root, error, LOOKS, OURS)
        failing_looks.detach_each(stage, looks, NUMBERS, usual)


@pytest.mark.parametrize('name', planned.STAGES)
def test_a_detach_after_an_attach_that_could_not_look(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever such an attach has made, it takes back, or a detach does."""
    with planned.STAGES[name](tmp_path) as stage:
        stage.do('attach')
        stage.do('detach')
        usual = failing_looks.left(stage)
        looks = failing_looks.Looks(monkeypatch, stage.root, errno.EIO, LOOKS, OURS)
        for number in NUMBERS:
            looks.left = number
            try:
                stage.do('attach')
            except (OSError, exception.BrickException):
                pass
            is_over = looks.left > 0
            looks.left = None
            stage.do('detach')
            assert failing_looks.left(stage) == usual, (number, looks.failed)
            if is_over:
                break
