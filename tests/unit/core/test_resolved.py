# SPDX-License-Identifier: Apache-2.0
"""Links that the kernel follows lead where Python's own look leads."""

import contextlib
import os
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from os_brick.core import resolved

_NAMES = st.sampled_from(['a', 'b', 'c (deleted)'])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map('/'.join)
_TARGETS = st.lists(st.one_of(_NAMES, st.just('..')), min_size=1, max_size=4).map('/'.join)


@given(
    st.lists(_PATHS, max_size=4),
    st.lists(st.tuples(_PATHS, _TARGETS), max_size=4),
    st.lists(st.one_of(_NAMES, st.sampled_from(['..', '.'])), min_size=1, max_size=5),
)
def test_the_kernel_and_python_follow_links_alike(
    directories: list[str], links: list[tuple[str, str]], parts: list[str]
) -> None:
    """Whatever there is, and whatever is missing, or leads in a circle."""
    with tempfile.TemporaryDirectory() as place:
        for each in directories:
            with contextlib.suppress(OSError):
                os.makedirs(f'{place}/sys/d/e/{each}')
        for link, target in links:
            with contextlib.suppress(OSError):
                os.symlink(target, f'{place}/sys/d/e/{link}')
        path = f'{place}/sys/d/e/{"/".join(parts)}'
        assert resolved.path(path, by_kernel=True) == os.path.realpath(path)


def test_what_is_no_file_of_a_file_system(tmp_path: pathlib.Path) -> None:
    reading, writing = os.pipe()
    try:
        path = f'/proc/self/fd/{reading}'
        assert resolved.path(path, by_kernel=True) == os.path.realpath(path)
    finally:
        os.close(reading)
        os.close(writing)
    (tmp_path / 'gone (deleted)').mkdir()
    (tmp_path / 'link').symlink_to('gone (deleted)')
    assert resolved.path(f'{tmp_path}/link', by_kernel=True) == f'{tmp_path}/gone (deleted)'
