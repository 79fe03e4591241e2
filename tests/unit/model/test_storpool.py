# SPDX-License-Identifier: Apache-2.0
"""StorPool's files and answers, as tables."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import storpool


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('', {'': {}}),
        ('A=1', {'': {'A': '1'}}),
        ('A=1\nA=2\na=3\n', {'': {'A': '2', 'a': '3'}}),
        # The rules of confget's own sample.
        ('\tkey = v a l \n', {'': {'key': 'v a l'}}),
        ('# a\n  ; b\n\n \t\nk=v # w\n', {'': {'k': 'v # w'}}),
        ('[ a b ]\nk=1\n[c]\n[a b]\nl=2\n', {'': {}, 'a b': {'k': '1', 'l': '2'}, 'c': {}}),
        ('long = stuff \\\n and more\\\n\twheee\nk=1\n', {'': {'long': 'stuff  and more\twheee',
                                                             'k': '1'}}),
        ('k=\\\n# no comment\n', {'': {'k': '# no comment'}}),
        ('k=end\\', {'': {'k': 'end'}}),
        ('k="v"\ne=\nn\n', {'': {'k': '"v"', 'e': '', 'n': None}}),
        ('k=a=b:c\nl:x=y\n', {'': {'k': 'a=b:c', 'l': 'x=y'}}),
        ('p=%(x)s 100%\n', {'': {'p': '%(x)s 100%'}}),
        ('k=v\r\n', {'': {'k': 'v'}}),
    ],
)  # fmt: skip
def test_sections(text: str, found: Any) -> None:
    assert storpool.sections(text) == found


@pytest.mark.parametrize(
    ('text', 'line'), [('a=1\n=2', 2), ('[open', 1), ('#\n\n : x', 3), ('a=1\\\nb\n=c', 3)]
)
def test_lines_that_are_none(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f'^line {line}: '):
        storpool.sections(text)


@given(st.text())
def test_any_text_is_read_or_refused_without_showing_it(text: str) -> None:
    why = ''
    try:
        storpool.sections(text)
    except ValueError as error:
        why = str(error).partition(': ')[2]
    assert why in {
        *('', 'the name of the section has no closing bracket', 'a value without a name'),
    }


@pytest.mark.parametrize(('text', 'number'), [('1', 1), ('007', 7), ('4095', 4095)])
def test_client_id(text: str, number: int) -> None:
    assert storpool.client_id(text) == number


@pytest.mark.parametrize('text', [None, '', '0', '4096', '-1', '1.0', 'x', '\u0661', '1' * 999])
def test_no_client_id(text: str | None) -> None:
    with pytest.raises(ValueError, match=r'missing|is not a number'):
        storpool.client_id(text)


def entry(**more: Any) -> dict[str, Any]:
    known = {'client': 7, 'globalId': 'a.b.1', 'pos': 0, 'rights': 'rw', 'volume': 'v'}
    return {**known, 'snapshot': False, **more}


def attachments(*entries: Any) -> storpool.Attachments:
    return storpool.Attachments.to(7, list(entries))


@pytest.mark.parametrize(
    ('position', 'read'),
    [(0, 0), ('0', 0), ('12', 12), (True, None), (0.0, None), (-1, None), ('x', None), (None, None),
     ('\u0661', None), ('9' * 99, None)],
)  # fmt: skip
def test_position(position: Any, read: int | None) -> None:
    """A number may come as a text; what is none contradicts no link."""
    assert attachments(entry(pos=position)).every[0].position == read


def test_attachments_of_this_host_alone() -> None:
    """A number may come as a text."""
    found = attachments(entry(client=8), entry(client='7'), 'x', entry(client=77))
    assert found.every == (storpool.Attachment('a.b.1', 'v', 'rw', 0),)


@pytest.mark.parametrize(
    ('more', 'global_id'),
    [
        ({}, 'a.b.1'),
        ({'globalId': None, 'volume': '~a.b.2'}, 'a.b.2'),
        ({'globalId': None}, ''),
        ({'globalId': None, 'volume': None}, ''),
    ],
)
def test_whose_attachment_it_is(more: dict[str, Any], global_id: str) -> None:
    assert attachments(entry(**more)).every[0].global_id == global_id


@pytest.mark.parametrize(
    ('rights', 'access', 'is_enough'),
    [
        ('rw', 'rw', True),
        ('rw', 'ro', True),
        ('ro', 'ro', True),
        ('ro', 'rw', False),
        ('None', 'ro', False),
        ('x', 'ro', False),
        ('zz', 'rw', False),
    ],
)
def test_rights(rights: str, access: str, is_enough: bool) -> None:
    assert attachments(entry(rights=rights)).every[0].allows(access) is is_enough


@pytest.mark.parametrize(
    ('device', 'entries', 'owner'),
    [
        ('sp-0', [entry()], None),
        ('sp0', [entry()], None),
        ('sp-1', [entry()], 'a device of no attached volume'),
        ('sp-1', [entry(), entry(globalId='a.b.2', pos=1)], 'volume a.b.2'),
        ('sp-1', [entry(globalId='a.b.2', pos=1)], 'volume a.b.2'),
        # Not known, so nothing contradicts the link.
        ('sp-1', [], None),
        ('sp-1', [entry(globalId='a.b.2', pos=0)], None),
        ('sp-1', [entry(pos=None)], None),
        ('sp-1', [entry(globalId=None, pos=1)], None),
        ('loop0', [entry()], None),
        ('sp-x', [entry()], None),
    ],
)
def test_owner(device: str, entries: list[Any], owner: str | None) -> None:
    assert attachments(*entries).owner(device, 'a.b.1') == owner


@pytest.mark.parametrize('data', [None, {}, 'x', 5])
def test_no_attachments(data: Any) -> None:
    with pytest.raises(ValueError, match='not a list'):
        storpool.Attachments.to(7, data)


def test_volume() -> None:
    assert storpool.Volume.of({'globalId': 'a.b.1', 'size': 512}) == storpool.Volume('a.b.1', 512)
    for data in (
        None,
        [],
        {'size': 512},
        {'globalId': 'a.b.1', 'size': 0},
        {'globalId': 'a/b.1.c'},
    ):
        with pytest.raises(ValueError, match=r'.'):
            storpool.Volume.of(data)
