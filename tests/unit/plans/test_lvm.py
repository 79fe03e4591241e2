# SPDX-License-Identifier: Apache-2.0
"""Command lines of LVM, what failed ones mean, and where a mirror has room."""

import itertools
import json
import pathlib

import hypothesis
from hypothesis import strategies as st
import pytest

from os_brick.model import lvm as model
from os_brick.plans import lvm

RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / 'local_dev' / 'recorded' / 'lvm2.json').read_text()
)
FAILED = [(release, row) for release, rows in RECORDED.items() for row in rows if row['exit_code']]
SIZE = model.parse_size('1g', 'size')
VOLUME = model.Volume('gold', 'a', 8 << 20, uuid='u-1')


def said(row):
    log = []
    if row['stdout'].lstrip().startswith('{'):
        log = model.parse_report('lv', row['stdout']).messages
    return '\n'.join((row['stderr'], *log, row['stdout'] if not log else ''))


@pytest.mark.parametrize(
    ('release', 'row'), FAILED, ids=[f'{release} {row["command"][:70]}' for release, row in FAILED]
)
def test_what_recorded_failures_mean(release, row):
    found = lvm.meaning(row['exit_code'], said(row))
    text = said(row)
    if 'Volume group "' in text and 'not found' in text:
        expected = lvm.Failure.NO_GROUP
    elif 'nosuch' in row['command'] or 'Failed to find logical' in text:
        expected = lvm.Failure.NO_VOLUME
    elif 'matches existing' in text:
        expected = lvm.Failure.SAME_SIZE
    elif any(words in text for words in ('No device found', 'only while inactive')):
        expected = lvm.Failure.OTHER
    else:
        expected = lvm.Failure.FINAL
    assert found is expected


@pytest.mark.parametrize('code', [139, -11])
def test_a_crash(code):
    assert lvm.meaning(code, 'Volume group "x" not found') is lvm.Failure.CRASH


@pytest.mark.parametrize(
    ('code', 'text'),
    [(127, "env: 'lvs': not found"), (3, 'Volume group "x" not found'), (None, '')],
)
def test_what_never_gets_better(code, text):
    assert lvm.meaning(code, text) is lvm.Failure.FINAL


def test_an_error_without_an_exit_code_means_what_it_says():
    text = 'Failed to find logical volume "gold/a"'
    assert lvm.meaning(None, text) is lvm.Failure.NO_VOLUME


def test_questions_take_no_locks_unless_they_need_the_kernel():
    for words in (lvm.list_volumes('gold'), lvm.list_groups('gold'), lvm.list_physical_volumes()):
        assert '--readonly' in words
    assert '--readonly' not in lvm.state('gold/a')


def test_only_a_question_about_data_is_answered_with_yes():
    """vgcreate asks before it takes a device with data on it; lvcreate's blocks are free ones."""
    assert not {'-y', '--yes', '-f'} & set(lvm.create_group('gold', ['/dev/sdb']))
    assert '--yes' in lvm.create_thick('gold', 'a', SIZE, 0)
    assert '--yes' in lvm.create_thin('gold', 'pool', 'a', SIZE)


def test_every_volume_is_named_with_its_group():
    whole = [
        lvm.remove('gold', 'a'),
        lvm.remove_again('gold', VOLUME),
        lvm.activate('gold', 'a'),
        lvm.deactivate('gold', 'a'),
        lvm.no_longer_skip('gold', 'a'),
        lvm.extend('gold', 'a', SIZE),
        lvm.merge('gold', 'a'),
        lvm.state('gold/a'),
    ]
    for words in whole:
        assert words[-1] == 'gold/a'
    assert lvm.create_snapshot('gold', 's', VOLUME, thin=True)[-1] == 'gold/a'
    assert lvm.create_snapshot('gold', 's', VOLUME, thin=False)[-2:] == ('-L', f'{8 << 20}b')


@pytest.mark.parametrize(
    ('size', 'region'),
    [('1g', None), ('1535g', None), ('1536g', '2'), ('2t', '2'), ('2049g', '4'), ('5000g', '8')],
)
def test_large_mirrors_have_larger_regions(size, region):
    words = lvm.create_thick('gold', 'm', model.parse_size(size, 'size'), 2)
    assert (words[words.index('-R') + 1] if '-R' in words else None) == region
    assert words[words.index('-m') + 1] == '2'


@pytest.mark.parametrize(
    ('free', 'mirrors', 'room'),
    [
        ([], 1, 0),
        ([5.0], 1, 0),
        ([5.0, 5.0], 1, 5.0),
        ([5.0, 0.0, 5.0], 1, 5.0),
        ([3.0, 5.0], 1, 3.0),
        ([1.0, 2.0, 5.0], 1, 3.0),
        ([2.0, 2.0, 2.0], 2, 2.0),
        ([2.0, 2.0, 2.0], 3, 0),
        ([1.0, 2.0], 0, 3.0),
    ],
)
def test_room_for_mirrors(free, mirrors, room):
    for order in itertools.permutations(free):
        assert lvm.mirror_room(order, mirrors) == room


@hypothesis.given(
    st.lists(st.integers(0, 50).map(float), max_size=8), st.integers(min_value=0, max_value=4)
)
def test_room_for_mirrors_is_there(free, mirrors):
    """All copies fit on what is free, and none on the disk of another."""
    room = lvm.mirror_room(free, mirrors)
    assert 0 <= room * (mirrors + 1) <= sum(free)
    assert room <= sum(free) - sum(sorted(free)[-mirrors:] if mirrors else [])
