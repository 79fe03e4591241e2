# SPDX-License-Identifier: Apache-2.0
"""Every format of a host with something of everything, as it was once looked at and found good."""

import pytest

from tests.unit.cmd import sample

TEXTS = sample.golden()


@pytest.mark.parametrize('name', TEXTS)
def test_a_format_is_as_it_was(name: str) -> None:
    """``python -m tests.unit.cmd.sample`` writes them anew, for a look at what is different."""
    assert f'{TEXTS[name]}\n' == (sample.GOLDEN / name).read_text()


def test_each_file_is_one_of_a_format() -> None:
    assert {path.name for path in sample.GOLDEN.iterdir()} == TEXTS.keys()


@pytest.mark.parametrize('name', TEXTS)
def test_no_control_of_a_name_reaches_the_terminal(name: str) -> None:
    assert '\x1b' not in TEXTS[name]


def test_without_utf_8_there_is_ascii_alone() -> None:
    assert TEXTS['ascii.txt'].isascii()
