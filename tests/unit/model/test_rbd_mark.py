# SPDX-License-Identifier: Apache-2.0
"""Marks of maps, as names of keys and as blanks."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import rbd_mark

MARKS = st.from_regex(r'os-brick-(map|probe)-([0-9a-f]{8,32})', fullmatch=True)


@given(MARKS, st.sampled_from(['-', 'snap']), st.sampled_from(['', '\n']))
def test_blanks_are_the_mark(mark: str, last: str, end: str) -> None:
    blanks = rbd_mark.blanks_of(mark)
    assert not blanks.strip(' \t')
    text = f'10.0.0.1:6789 mount_timeout=30 rbd v1{blanks}{last}{end}'
    assert rbd_mark.of_blanks(text) == mark
    assert text.split() == ['10.0.0.1:6789', 'mount_timeout=30', 'rbd', 'v1', last]


@given(st.text(' \t-x', max_size=140))
def test_any_text_is_a_mark_or_none(text: str) -> None:
    found = rbd_mark.of_blanks(text)
    assert not found or text.rstrip('-x').endswith(rbd_mark.blanks_of(found))


@pytest.mark.parametrize('blanks', ['', ' ', '\t', ' ' * 9, ' ' * 34, ' ' * 133])
def test_what_others_write_is_no_mark(blanks: str) -> None:
    assert rbd_mark.of_blanks(f'10.0.0.1 a=b rbd v1{blanks}-') == ''


@pytest.mark.parametrize('value', ['', 'os-brick-map-', 'client.admin', 7, None])
def test_what_is_no_mark(value: object) -> None:
    assert not rbd_mark.is_mark(value)
    with pytest.raises(ValueError, match='not a mark'):
        rbd_mark.blanks_of(str(value))
