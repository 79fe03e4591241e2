# SPDX-License-Identifier: Apache-2.0
"""The root functions for PowerFlex: what they ask, and which files they do not read."""

import pathlib

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.model import powerflex
from os_brick.privileged import scaleio
from tests.unit.fakehost import tree as fake_tree

PLACE = powerflex.CONNECTOR_CONF
SECRET = 'S3%cret=;#'


@pytest.fixture
def tree(tmp_path: pathlib.Path):
    with files.use(str(tmp_path)):
        yield fake_tree.Tree(tmp_path)


def _read(section: str = 'one', failed_over: bool = False) -> tuple[str | None, str]:
    return scaleio.get_connector_username_password(PLACE, section, failed_over)


def test_user_and_password(tree: fake_tree.Tree) -> None:
    tree.file(
        PLACE,
        f'[other]\nsan_password = x\n[one]\nsan_username = me\nsan_password = {SECRET}\n'
        'replicating_san_password = far\n',
    )
    user, password = _read()
    assert (user, str(password)) == ('me', SECRET)
    # The daemon's log has the answer's repr.
    assert SECRET not in repr((user, password))
    assert _read(failed_over=True) == (None, 'far')
    assert _read('other') == (None, 'x')


@pytest.mark.parametrize(
    ('written', 'meant'),
    [
        # As os-brick 7.1.1 reads them; the last two are errors there.
        ('a%%b', 'a%b'),
        ('%(san_username)s', 'me'),
        ('"quoted"', '"quoted"'),
        ('a ; b # c', 'a ; b # c'),
        ('a%b', 'a%b'),
        ('%(none)s', '%(none)s'),
    ],
)
def test_passwords_of_any_kind(tree: fake_tree.Tree, written: str, meant: str) -> None:
    tree.file(PLACE, f'[one]\nsan_username = me\nsan_password = {written}\n')
    assert _read()[1] == meant


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        (None, 'cannot be read'),
        ('', 'has no section one'),
        ('[one]\nsan_username = me\n', 'no option san_password'),
        ('[one]\nsan_password =\n', 'no option san_password'),
        (f'{SECRET}\n', 'not a valid INI file'),
        ('[one]\nsan_password\n', 'not a valid INI file'),
        (b'[one]\nsan_password = \xff', 'not a valid INI file'),
    ],
)
def test_files_that_do_not_have_it(tree: fake_tree.Tree, content, why: str) -> None:
    if content is not None:
        tree.file(PLACE, content)
    with pytest.raises(exception.BrickException, match=why) as caught:
        _read()
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize('name', ['/etc/shadow', f'{PLACE}/../x', '', None])
def test_no_other_file_is_read(tree: fake_tree.Tree, name) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='only'):
        scaleio.get_connector_username_password(name, 'one', False)


@pytest.mark.parametrize('section', ['a]b', 'a\nb', '', None, 7])
def test_no_other_section(tree: fake_tree.Tree, section) -> None:
    tree.file(PLACE, '[one]\nsan_password = x\n')
    with pytest.raises(exception.InvalidParameterValue):
        _read(section)


@pytest.mark.parametrize('op_code', [0, 0x610B, 0xFFFFFFFF, None, '0x610E'])
def test_no_other_ioctl(op_code) -> None:
    for verb in (scaleio.get_guid, scaleio.rescan_vols):
        with pytest.raises(exception.InvalidParameterValue):
            verb(op_code)
