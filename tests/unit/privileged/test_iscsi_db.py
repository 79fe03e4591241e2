# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's records: found in both layouts, settings replaced and not doubled, kept secret."""

from collections.abc import Iterator
import contextlib
import os
import pathlib

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.privileged import iscsi_db

IQN = 'iqn.2026-11.org.lab:t1'
WHERE = (IQN, '10.0.0.1', 3260, 'default')
SECRET = 'pa55-word'
CHAP = {
    'node.session.auth.authmethod': 'CHAP',
    'node.session.auth.username': 'user',
    'node.session.auth.password': SECRET,
}
RECORD = """\
# BEGIN RECORD 2.1.11
node.name = iqn.2026-11.org.lab:t1
node.tpgt = 1
node.startup = automatic
iface.iscsi_ifacename = default
node.session.auth.authmethod = None
node.session.scan = auto
node.conn[0].address = 10.0.0.1
node.conn[0].port = 3260
# END RECORD
"""
LAYOUTS = {
    'without a tag': f'nodes/{IQN}/10.0.0.1,3260',
    'with a tag': f'nodes/{IQN}/10.0.0.1,3260,1/default',
    'with an unknown tag': f'nodes/{IQN}/10.0.0.1,3260,-1/default',
}
HOMES = ('/etc/iscsi', '/var/lib/iscsi')


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    with files.use(str(tmp_path)):
        yield tmp_path


@pytest.fixture(
    params=[(home, layout) for home in HOMES for layout in LAYOUTS.values()],
    ids=lambda param: ' '.join(param),
)
def record(request: pytest.FixtureRequest, root: pathlib.Path) -> pathlib.Path:
    home, layout = request.param
    path = root / home.lstrip('/') / layout
    path.parent.mkdir(parents=True)
    path.write_text(RECORD)
    path.chmod(0o644)
    return path


def test_settings_are_replaced_and_added(record: pathlib.Path) -> None:
    assert iscsi_db.has_node(*WHERE)
    for _ in range(2):  # Twice is as once.
        assert iscsi_db.configure_node(*WHERE, {**CHAP, 'node.session.scan': 'manual'})
    lines = record.read_text().splitlines()
    assert lines[0] == '# BEGIN RECORD 2.1.11'
    assert lines[-1] == '# END RECORD'
    assert len(set(lines)) == len(lines)
    names = [line.partition(' = ')[0] for line in lines[1:-1]]
    assert len(set(names)) == len(names)
    settings = dict(line.split(' = ', 1) for line in lines[1:-1])
    assert settings == {
        'node.name': IQN,
        'node.tpgt': '1',
        'node.startup': 'automatic',
        'iface.iscsi_ifacename': 'default',
        'node.session.scan': 'manual',
        'node.conn[0].address': '10.0.0.1',
        'node.conn[0].port': '3260',
        **CHAP,
    }


@pytest.mark.parametrize('umask', [0o000, 0o022, 0o077])
def test_a_record_with_a_secret_is_for_root_alone(record: pathlib.Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        iscsi_db.configure_node(*WHERE, CHAP)
    finally:
        os.umask(before)
    assert record.stat().st_mode & 0o7777 == 0o600
    assert [each.name for each in record.parent.iterdir()] == [record.name]


@pytest.mark.parametrize(
    'where',
    [
        ('iqn.2026-11.org.lab:t2', '10.0.0.1', 3260, 'default'),
        (IQN, '10.0.0.2', 3260, 'default'),
        (IQN, '10.0.0.1', 326, 'default'),
        (IQN, '10.0.0.1', 3260, 'iser'),
    ],
)
def test_no_other_record_is_touched(record: pathlib.Path, where: tuple[str, str, int, str]) -> None:
    assert not iscsi_db.has_node(*where)
    assert not iscsi_db.configure_node(*where, CHAP)
    assert record.read_text() == RECORD


@pytest.mark.parametrize(
    'where',
    [
        ('../../../etc', '10.0.0.1', 3260, 'default'),
        (IQN, '../x', 3260, 'default'),
        (IQN, '10.0.0.1', -1, 'default'),
        (IQN, '10.0.0.1', '3260', 'default'),
    ],
)
def test_hostile_places(record: pathlib.Path, where: tuple[str, str, int, str]) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        iscsi_db.configure_node(*where, CHAP)
    assert record.read_text() == RECORD


@pytest.mark.parametrize(
    'settings',
    [
        {'node.session.auth.password': f'{SECRET}\nnode.startup = automatic'},
        {'node.session.auth.password': SECRET * 100},
        {'node.session.auth.password': None},
        {'node.startup = automatic\nx': 'y'},
        {'iface.iscsi_ifacename': 'x'},
        {'# END RECORD': 'x'},
        {'': 'x'},
    ],
)
def test_hostile_settings(record: pathlib.Path, settings: dict[str, str]) -> None:
    with pytest.raises(exception.InvalidParameterValue) as caught:
        iscsi_db.configure_node(*WHERE, settings)
    assert SECRET not in str(caught.value)
    assert record.read_text() == RECORD


def test_a_hostile_iface_is_nobodys(record: pathlib.Path) -> None:
    with contextlib.suppress(exception.InvalidParameterValue):
        assert not iscsi_db.configure_node(IQN, '10.0.0.1', 3260, '../default', CHAP)
    assert record.read_text() == RECORD


def test_nodes(root: pathlib.Path) -> None:
    assert iscsi_db.nodes(IQN) == []
    for path, iface in (
        (f'etc/iscsi/nodes/{IQN}/10.0.0.1,3260', 'default'),
        (f'etc/iscsi/nodes/{IQN}/10.0.0.2,3260,1/default', 'default'),
        (f'etc/iscsi/nodes/{IQN}/10.0.0.2,3260,1/iser', 'iser'),
        (f'etc/iscsi/nodes/{IQN}/fe80::1,860,2/default', 'default'),
        (f'etc/iscsi/nodes/{IQN}2/10.0.0.9,3260', 'default'),
    ):
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(RECORD.replace('= default', f'= {iface}'))
    (root / f'etc/iscsi/nodes/{IQN}/junk').write_text('')
    assert iscsi_db.nodes(IQN) == [
        ('10.0.0.1', 3260, 'default'),
        ('10.0.0.2', 3260, 'default'),
        ('10.0.0.2', 3260, 'iser'),
        ('fe80::1', 860, 'default'),
    ]


@pytest.mark.parametrize('home', HOMES)
def test_discovery(root: pathlib.Path, home: str) -> None:
    assert not iscsi_db.has_discovery('10.0.0.1', 3260)
    assert not iscsi_db.configure_discovery('10.0.0.1', 3260, {})
    path = root / home.lstrip('/') / 'send_targets/10.0.0.1,3260/st_config'
    path.parent.mkdir(parents=True)
    path.write_text('# BEGIN RECORD 2.1.11\ndiscovery.type = sendtargets\n# END RECORD\n')
    assert iscsi_db.has_discovery('10.0.0.1', 3260)
    password = {'discovery.sendtargets.auth.password': SECRET}
    assert iscsi_db.configure_discovery('10.0.0.1', 3260, password)
    assert path.read_text() == (
        '# BEGIN RECORD 2.1.11\ndiscovery.type = sendtargets\n'
        f'discovery.sendtargets.auth.password = {SECRET}\n# END RECORD\n'
    )
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        (None, None),
        ('', None),
        ('InitiatorName=iqn.2026-11.org.lab:init\n', 'iqn.2026-11.org.lab:init'),
        ('## a comment\n\nInitiatorName = iqn.x:y \n', 'iqn.x:y'),
        ('#InitiatorName=iqn.no:no\nInitiatorName=iqn.x:y\n', 'iqn.x:y'),
        ('InitiatorName=\n', None),
        ('InitiatorAlias=x\n', None),
        ('GenerateName=yes\n', None),
    ],
)
def test_initiator_name(root: pathlib.Path, text: str | None, name: str | None) -> None:
    if text is not None:
        (root / 'etc/iscsi').mkdir(parents=True)
        (root / 'etc/iscsi/initiatorname.iscsi').write_text(text)
    assert iscsi_db.initiator_name() == name
