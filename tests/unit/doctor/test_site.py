# SPDX-License-Identifier: Apache-2.0
"""What a site may decide, and files that are wrong."""

import pytest

from os_brick.doctor import examine, site
from tests import pages
from tests.unit.doctor.conftest import Ward, ids


def write(ward: Ward, name: str, text: str) -> None:
    ward.host.tree.file(f'{site.DIRECTORY}/{name}', text)


def plant(ward: Ward) -> None:
    for number in ward.host.sessions:
        ward.host.tree.value(f'/sys/class/iscsi_session/session{number}/recovery_tmo', 30)


def test_a_finding_is_silenced(ward: Ward) -> None:
    plant(ward)
    assert ids(ward.examine()) == {'iscsi-recovery-tmo'}
    write(ward, 'a.yaml', 'findings: {iscsi-recovery-tmo: {silence: true, reason: known}}')
    result = ward.examine()
    assert not result.findings
    assert result.silenced == ('iscsi-recovery-tmo',)
    assert result.exit_code == 0


def test_the_example_of_the_page_is_taken(ward: Ward) -> None:
    text = (pages.USER / 'doctor.rst').read_text()
    (example,) = (block for block in pages.blocks(text) if block.startswith('findings:'))
    write(ward, 'a.yaml', example)
    ward.examine()
    decided, unread = site.overrides()
    assert set(decided) == {'orphan-disk', 'lvm-active-on-volume', 'iscsi-recovery-tmo'}
    assert not unread


def test_one_object_is_silenced(ward: Ward) -> None:
    plant(ward)
    write(ward, 'a.yaml', 'findings: {iscsi-recovery-tmo: {silence: ["session 1"]}}')
    assert [each.object for each in ward.examine().findings] == ['session 2']


def test_a_level_is_the_sites(ward: Ward) -> None:
    plant(ward)
    write(ward, 'a.yaml', 'findings: {iscsi-recovery-tmo: {level: I}}')
    assert {each.level for each in ward.examine().findings} == {'I'}
    assert ward.examine().exit_code == 0
    write(ward, 'b.yaml', 'findings: {iscsi-recovery-tmo: {level: F}}')  # The later one wins.
    assert ward.examine().exit_code == 2


@pytest.mark.parametrize(
    'values',
    [
        'values: {seconds: 30}',
        'vendors: {"LIO-ORG:gold": {seconds: 30}}',
        'vendors: {"LIO-ORG:*": {seconds: 30}}',
        'vendors: {"*:gold": {seconds: 30}}',
    ],
)
def test_a_value_is_the_sites(ward: Ward, values: str) -> None:
    plant(ward)
    write(ward, 'a.yaml', f'findings: {{iscsi-recovery-tmo: {{{values}}}}}')
    assert not ward.examine().findings


@pytest.mark.parametrize(
    ('text', 'key'),
    [
        ('findings: {iscsi-recovery-tmo: {level: X}}', 'findings.iscsi-recovery-tmo.level'),
        ('findings: {iscsi-recovery-tmo: {levle: F}}', 'levle'),
        ('findings: {iscsi-recovery-tmo: {silence: 3}}', 'findings.iscsi-recovery-tmo.silence'),
        ('findings: {iscsi-recovery-tmo: {values: {secs: 3}}}', 'secs'),
        ('findings: {iscsi-recovery-tmo: {values: {seconds: x}}}', 'values.seconds'),
        ('findings: {iscsi-recovery-tmo: {vendors: {a: {seconds: x}}}}', 'vendors.a.seconds'),
        ('findings: {iscsi-recovery-tmo: {vendors: 3}}', 'vendors'),
        ('findings: {no-such: {level: F}}', 'findings.no-such'),
        ('findings: [1]', 'findings'),
        ('[1]', 'the file'),
        ('other: {}', "'other'"),
        ('a: b: c', 'line 1'),
        ('!!python/object/apply:os.getcwd []', 'line 1'),
        ('findings: {ghost-map: {level: [F]}}', 'findings.ghost-map.level'),
        ('findings: {ghost-map: {level: {a: 1}}}', 'findings.ghost-map.level'),
        ('findings: {ghost-map: {reason: [a]}}', 'findings.ghost-map.reason'),
        ('findings: {ghost-map: {reason: [&a [x], *a]}}', 'alias'),
        *(
            (f'findings: {{iscsi-recovery-tmo: {{values: {{seconds: {each}}}}}}}', 'seconds')
            for each in ('.nan', '.inf', '-1', '1' + '0' * 4000)
        ),
        ('findings: {iscsi-recovery-tmo: {values: {seconds: 1' + '0' * 5000 + '}}}', 'YAML'),
        ('? [a, b]\n: 1', 'YAML'),
        ('findings: {orphan-disk: {reason: 2026-13-45}}', 'YAML'),
        ('[' * 5000, 'YAML'),
        ('\x00', 'YAML'),
    ],
)
def test_a_wrong_file_names_its_key_and_costs_only_itself(ward: Ward, text: str, key: str) -> None:
    plant(ward)
    write(ward, 'a.yaml', text)
    write(ward, 'b.yaml', 'findings: {iscsi-recovery-tmo: {silence: true}}')
    result = ward.examine()
    assert result.silenced == ('iscsi-recovery-tmo',)
    (unread,) = result.unread
    assert unread.what == f'{site.DIRECTORY}/a.yaml'
    assert key in unread.why or key == 'YAML'
    assert result.exit_code == 3


def test_an_empty_file_is_fine(ward: Ward) -> None:
    write(ward, 'a.yaml', '# nothing yet\n')
    assert ward.examine() == examine.Result((), ward.examine().checks)
