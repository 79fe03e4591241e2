# SPDX-License-Identifier: Apache-2.0
"""Sizes, names and reports of LVM, against what real tools wrote (``local_dev/recorded``)."""

import contextlib
import json
import pathlib
import re

import hypothesis
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.model import lvm, names

RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / 'local_dev' / 'recorded' / 'lvm2.json').read_text()
)
ROWS = [(release, row) for release, rows in RECORDED.items() for row in rows]
REPORTS = [(release, row) for release, row in ROWS if '--reportformat json' in row['command']]


def kind_of(row):
    return {'lvs': 'lv', 'vgs': 'vg', 'pvs': 'pv'}[row['command'].split()[0]]


def ids(rows):
    return [f'{release} {row["command"][:60]}' for release, row in rows]


@pytest.mark.parametrize(('release', 'row'), REPORTS, ids=ids(REPORTS))
def test_every_recorded_report_is_read(release, row):
    report = lvm.parse_report(kind_of(row), row['stdout'])
    assert len(report.rows) == row['stdout'].count('{"vg_name"') + row['stdout'].count('{"lv_name"')
    if row['exit_code']:
        said = '\n'.join((*report.messages, row['stderr']))
        assert re.search('not found|is exported|Failed to find', said)


def shown(release, command):
    """A recorded table with sizes in GiB, a list of words a line."""
    for row in RECORDED[release]:
        if row['command'].startswith(command) and not row['exit_code'] and row['stdout']:
            yield [re.split(r'[:|\s]+', line.strip()) for line in row['stdout'].splitlines()]


def test_volumes_as_the_columns_of_lvs_have_them():
    row = next(
        row
        for row in RECORDED['2.03.31']
        if 'lv_role' in row['command'] and ' -a ' not in row['command']
    )
    found = [volume.as_dict() for volume in lvm.volumes(lvm.parse_report('lv', row['stdout']))]
    lists = [
        [{'vg': vg, 'name': name, 'size': size} for vg, name, size in table]
        for table in shown('2.03.31', 'lvs --noheadings --unit=g -o vg_name,name,size')
    ]
    assert found in lists
    assert len(found) == 7


def test_parts_of_other_volumes_are_left_out():
    row = next(row for row in RECORDED['2.03.31'] if 'lvs -a' in row['command'])
    assert '[gold-pool_tdata]' in row['stdout']
    found = {volume.name for volume in lvm.volumes(lvm.parse_report('lv', row['stdout']))}
    assert found == {'_snapshot-1', 'gold-pool', 'plain', 's1', 't1', 'ts1', 'v+._-1'}


@pytest.mark.parametrize('release', RECORDED)
def test_groups_and_devices_as_the_columns_have_them(release):
    """In the order in which they were recorded: what a table shows was just reported as JSON."""
    tables = list(shown(release, 'pvs --noheadings'))
    reports = [
        [
            [pv.vg, pv.name, pv.size, pv.free]
            for pv in lvm.physical_volumes(lvm.parse_report('pv', row['stdout']))
        ]
        for row in RECORDED[release]
        if row['command'].startswith('pvs --reportformat')
    ]
    for table in tables:
        as_shown = [[vg, name, float(size), float(free)] for vg, name, size, free in table]
        assert as_shown in [
            [[vg, name, lvm.gib(size), lvm.gib(free)] for vg, name, size, free in report]
            for report in reports
        ]


def test_a_device_that_is_missing():
    rows = [row for row in RECORDED['2.03.31'] if '[unknown]' in row['stdout']]
    found = lvm.physical_volumes(lvm.parse_report('pv', rows[0]['stdout']))
    assert [pv.name for pv in found if pv.vg == 'gold'] == ['/dev/loop0', '/dev/loop2', '[unknown]']


@pytest.mark.parametrize('release', RECORDED)
def test_the_release(release):
    row = next(row for row in RECORDED[release] if row['command'] == 'vgs --version')
    assert lvm.parse_version(row['stdout']) == tuple(map(int, release.split('.')))
    assert lvm.parse_version('  WARNING: lvmetad\n' + row['stdout']) is not None
    assert lvm.parse_version('vgsx ' + row['stdout'].lstrip()) is not None  # log/prefix
    assert lvm.parse_version('Library version: 1.02.205') is None


@pytest.mark.parametrize(
    'text',
    [
        'sudo: unable to resolve host {x}\n{"report": [{"lv": [{"lv_name": "a"}]}]}',
        '{"report": [{"lv": [{"lv_name": "a"}]}], "log": []}\n  trailing words',
        '{"report": [{"vg": []}, {"lv": [{"lv_name": "a", "more": null, "n": 7, "l": ["x"]}]}]}',
        '{"report": [{"lv": [{"lv_name": "a", "lv_attr": "tab\there"}]}]}',
    ],
    ids=['wrapped', 'followed', 'several', 'control'],
)
def test_reports_in_other_clothes(text):
    report = lvm.parse_report('lv', text)
    assert [volume.name for volume in lvm.volumes(report)] == ['a']


@pytest.mark.parametrize('text', ['', 'x', '{', '[]', '{"a": 1}', '{"report": [', '{' * 99])
def test_what_is_not_a_report(text):
    with pytest.raises(ValueError, match='not a report'):
        lvm.parse_report('lv', text)


@hypothesis.given(st.text())
def test_any_text_is_a_report_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        lvm.parse_report('lv', text)


@hypothesis.given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(['lv', 'log', 'x']), inner),
    )
)
def test_reports_of_another_shape_do_no_harm(value):
    lvm.parse_report('lv', json.dumps({'report': value, 'log': value}))


# Sizes.

MADE = re.compile(r'lvcreate -an -Zn -n t gold -L (.*)')


@pytest.mark.parametrize(
    ('text', 'count'),
    [
        ('100', 100 << 20),
        ('4m', 4 << 20),
        ('4M', 4 << 20),
        ('40mb', 40 << 20),
        ('4MiB', 4 << 20),
        ('4Mi', 4 << 20),
        ('1.5g', 3 << 29),
        ('8192s', 4 << 20),
        ('4194304b', 4 << 20),
        ('2T', 2 << 40),
        (7, 7 << 20),
    ],
)
def test_sizes_as_lvm_reads_them(text, count):
    assert lvm.parse_size(text, 'size') == lvm.Size(str(text), count, False)


def test_what_lvm_refuses_is_refused():
    refused = [
        found[1]
        for _release, row in ROWS
        if row['exit_code'] and (found := MADE.fullmatch(row['command']))
    ]
    assert len(refused) >= 5
    for text in refused:
        with pytest.raises(exception.InvalidParameterValue, match='size_str: '):
            lvm.parse_size(text, 'size_str')


@pytest.mark.parametrize(
    'size', ['100b', '1.5b', '4194305b', '1' * 400 + 'g', '1.' + '0' * 5000 + 'g']
)
def test_no_size_of_lvm_is_named_with_its_key(size):
    with pytest.raises(exception.InvalidParameterValue, match=r'^size_str: .* size: '):
        lvm.parse_size(size, 'size_str')


def test_a_large_size_is_exact():
    size = (1 << 63) - 512
    assert lvm.parse_size(f'{size}b', 'size').bytes == size


def test_a_relative_size():
    assert lvm.parse_size('+1g', 'new_size', may_be_relative=True) == lvm.Size('+1g', 1 << 30, True)
    with pytest.raises(exception.InvalidParameterValue):
        lvm.parse_size('+1g', 'size_str')


@hypothesis.given(st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.binary())
def test_any_value_is_a_size_or_an_error_that_names_the_key(value):
    try:
        size = lvm.parse_size(value, 'size_str')
    except exception.InvalidParameterValue:
        with pytest.raises(exception.InvalidParameterValue, match=r'^size_str: '):
            lvm.parse_size(value, 'size_str')
        return
    assert re.fullmatch(r'[0-9.]+[a-zA-Z]*', size.text)
    assert 0 < size.bytes < 1 << 63


# Names.

ASKED = re.compile(r'lvcreate .*?-n (.*?) gold -L .*')


def test_names_that_lvm_refused_are_refused():
    refused = {
        found[1]
        for _release, row in ROWS
        if row['exit_code'] == 3
        and ('reserved' in row['stderr'] or 'is invalid' in row['stderr'])
        and (found := ASKED.fullmatch(row['command']))
    }
    assert len(refused) > 30
    for name in refused:
        with pytest.raises(exception.InvalidParameterValue):
            lvm.parse_new_name('gold', name, 'name')


@pytest.mark.parametrize(
    'name',
    [
        'v+._-1',
        '_snapshot-1',
        'mlog',
        'tmeta3',
        'pmspare',
        'vorigin',
        'pvmov',
        'xsnapshot',
        'group',
    ],
)
def test_names_that_lvm_took_are_taken(name):
    assert lvm.parse_new_name('gold', name, 'name') == name


def test_a_name_that_the_kernel_cannot_take():
    with pytest.raises(exception.InvalidParameterValue, match='too long'):
        lvm.parse_new_name('gold', 'a-' * 60, 'name')
    assert lvm.parse_new_name('gold', 'a' * 100, 'name')


@hypothesis.given(st.text(max_size=140))
def test_any_name_is_one_word_for_lvm(name):
    try:
        lvm.parse_name(names.LV, name, 'name')
    except exception.InvalidParameterValue:
        return
    assert re.fullmatch(r'[A-Za-z0-9+_.][A-Za-z0-9+_.-]*', name)
    assert name not in ('.', '..')


def test_the_name_of_a_snapshot():
    assert lvm.mangled('snapshot-1') == '_snapshot-1'
    assert lvm.mangled('my-snapshot') == 'my-snapshot'


def test_unused_room_of_a_pool():
    assert lvm.Volume('gold', 'pool', 1 << 30, data_percent=12.5).unused_gib == 0.88
    assert lvm.Volume('gold', 'pool', 1 << 30).unused_gib == 0.0
