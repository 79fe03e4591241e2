# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's records: found in both layouts, given settings, kept secret, and then as before."""

from collections.abc import Callable, Iterator
import itertools
import os
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import atomic, files, process
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


Tree = dict[str, bytes | str]


class Iscsiadm:
    """Makes static records as open-iscsi 2.1.11 does: a file of address and port."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.home = 'var/lib/iscsi'
        self.code = 0
        self.lines: list[str] = []
        self.discovered_with: list[str] = []

    def run(self, argv: tuple[str, ...], **_keywords: Any) -> process.Result:
        line = ' '.join(argv)
        self.lines.append(line)
        word = dict(itertools.pairwise(argv))
        if self.code:
            return process.Result(argv, self.code, '', 'iscsiadm: Could not write\n')
        address, _, port = word['-p'].rpartition(':')
        portal = f'{address.strip("[]")},{port}'
        if word['-m'] == 'discoverydb':
            path = self.root / self.home / 'send_targets' / portal / 'st_config'
            if word['--op'] == 'new':
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text('# BEGIN RECORD 2.1.11\ndiscovery.type = sendtargets\n')
            else:
                self.discovered_with.append(path.read_text(errors='replace'))
        else:
            path = self.root / self.home / 'nodes' / word['-T'] / portal
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(RECORD.replace('10.0.0.1', address.strip('[]')).replace('tpgt = 1', ''))
        return process.Result(argv, 0, '', '')

    def isolated(self, call: Callable[[], Any], _timeout: float) -> Any:
        return call()


@pytest.fixture
def iscsiadm(tmp_path: pathlib.Path) -> Iscsiadm:
    return Iscsiadm(tmp_path)


@pytest.fixture
def root(tmp_path: pathlib.Path, iscsiadm: Iscsiadm) -> Iterator[pathlib.Path]:
    for home in HOMES:
        (tmp_path / home.lstrip('/')).mkdir(parents=True)
    with files.use(str(tmp_path)), process.use(iscsiadm):
        yield tmp_path


def tree(root: pathlib.Path) -> Tree:
    """Everything below the homes: the bytes of files, where links lead."""
    found: Tree = {}
    for path in sorted(root.rglob('*')):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif not path.is_dir():
            found[str(path)] = path.read_bytes()
    return found


def prepare(settings: dict[str, str] | None = None) -> bool:
    wanted = settings if settings is not None else {**CHAP, 'node.session.scan': 'manual'}
    return iscsi_db.prepare_node(*WHERE, wanted, 40.0)


def release(*, prepared_only: bool = False) -> None:
    iscsi_db.release_nodes(IQN, ((WHERE[1], WHERE[2]),), prepared_only=prepared_only)


def nodes(root: pathlib.Path) -> Tree:
    return {path: data for path, data in tree(root).items() if '/nodes/' in path}


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


def test_settings_are_replaced_and_added(record: pathlib.Path, iscsiadm: Iscsiadm) -> None:
    for _ in range(2):  # Twice is as once.
        assert not prepare()
    assert iscsiadm.lines == []
    lines = record.read_text().splitlines()
    assert lines[0] == '# BEGIN RECORD 2.1.11'
    assert lines[-1] == '# END RECORD'
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
def test_a_record_with_a_secret_is_for_root_alone(
    root: pathlib.Path, record: pathlib.Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        prepare()
    finally:
        os.umask(before)
    assert record.stat().st_mode & 0o7777 == 0o600
    assert [each.name for each in record.parent.iterdir()] == [record.name]
    (kept,) = root.rglob('os-brick')
    assert kept.stat().st_mode & 0o7077 == 0
    assert [path.stat().st_mode & 0o7777 for path in kept.iterdir()] == [0o600]


MANUAL = {'node.session.scan': 'manual'}
# What operators write into a record: spaces, comments, line ends, bytes of another encoding.
OPERATORS = [
    RECORD,
    RECORD.replace(' = ', '='),
    RECORD.replace('\n', '\r\n'),
    RECORD.rstrip('\n'),
    RECORD.replace('# END RECORD\n', ''),
    RECORD + '\n\n# by hand\n',
    f'# rack 4\n\n{RECORD}node.session.auth.username = op\x0berator\x85\u2028\n',
    RECORD.replace('= None', '= CHAP\nnode.session.auth.username = operator'),
    RECORD + 'node.session.auth.password = twice\nnode.session.auth.password = operators\n',
]


@pytest.mark.parametrize('text', OPERATORS)
@pytest.mark.parametrize('rounds', [[CHAP], [CHAP, MANUAL], [MANUAL, CHAP, CHAP]])
@pytest.mark.parametrize('prepared_only', [True, False])
def test_an_operators_record_is_as_it_was(
    root: pathlib.Path,
    record: pathlib.Path,
    text: str,
    rounds: list[dict[str, str]],
    *,
    prepared_only: bool,
) -> None:
    record.write_bytes(text.encode() + b'#\xff\xfe\0')
    before = tree(root)
    for settings in rounds:
        assert not prepare({**settings, **MANUAL})
    assert tree(root) != before
    release(prepared_only=prepared_only)
    assert tree(root) == before
    assert not list(root.rglob('os-brick'))
    # And nothing is kept that would change it later.
    release(prepared_only=prepared_only)
    assert tree(root) == before


def test_credentials_of_an_earlier_attach_do_not_stay(record: pathlib.Path) -> None:
    prepare()
    prepare(MANUAL)
    assert SECRET not in record.read_text()
    assert 'authmethod = None' in record.read_text()


def test_what_an_operator_has_changed_meanwhile_stays(record: pathlib.Path) -> None:
    prepare()
    text = record.read_text().replace('node.startup = automatic', 'node.startup = onboot')
    record.write_text(text.replace('= user', '= changed'))
    release()
    assert SECRET not in record.read_text()
    settings = dict(line.split(' = ', 1) for line in record.read_text().splitlines()[1:-1])
    assert settings['node.startup'] == 'onboot'
    assert settings['node.session.scan'] == 'auto'
    assert settings['node.session.auth.authmethod'] == 'None'
    assert settings['node.session.auth.username'] == 'changed'


def test_a_record_that_a_discovery_has_written_anew_stays(record: pathlib.Path) -> None:
    prepare()
    record.write_text(RECORD)
    release()
    assert record.read_text() == RECORD


@pytest.mark.parametrize('prepared_only', [True, False])
def test_a_record_that_was_made_is_deleted(root: pathlib.Path, *, prepared_only: bool) -> None:
    before = tree(root)
    assert prepare()
    assert prepare(MANUAL)
    assert len(nodes(root)) == 1
    release(prepared_only=prepared_only)
    assert tree(root) == before
    assert not (root / 'var/lib/iscsi/nodes' / IQN).exists()
    assert not list(root.rglob('os-brick'))


def test_killed_between_making_and_configuring(
    root: pathlib.Path, iscsiadm: Iscsiadm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record says what iscsid.conf says, so only what was noted tells whose it is."""

    def killed(*_words: object, **_keywords: object) -> None:
        raise SystemExit

    monkeypatch.setattr(atomic, 'replace', killed)
    with pytest.raises(SystemExit):
        prepare()
    monkeypatch.undo()
    assert len(nodes(root)) == 1
    assert prepare()
    release(prepared_only=True)
    assert tree(root) == {}


def test_what_iscsiadm_has_made_late_is_deleted(root: pathlib.Path, iscsiadm: Iscsiadm) -> None:
    iscsiadm.code = 6
    with pytest.raises(exception.BrickException, match='Could not write'):
        prepare()
    iscsiadm.code = 0
    iscsiadm.run(('iscsiadm', '-m', 'node', '-T', IQN, '-p', '10.0.0.1:3260', '--op', 'new'))
    assert len(nodes(root)) == 1
    release(prepared_only=True)
    assert tree(root) == {}


def test_a_record_of_an_older_release(root: pathlib.Path, record: pathlib.Path) -> None:
    """os-brick 7 leaves its records to this one: the scan mode tells them."""
    record.write_text(RECORD.replace('scan = auto', 'scan = manual'))
    release(prepared_only=True)
    assert record.exists()
    release()
    assert tree(root) == {}


def test_a_record_that_was_never_configured_stays(record: pathlib.Path) -> None:
    """That of a session which an operator has logged in, and an attach has only used."""
    release()
    assert record.read_text() == RECORD


BROKEN = {
    'empty': b'',
    'blank': b'\n\n \n',
    'NULs': b'\0' * 4096,
    'cut off': RECORD.encode()[:50],
    'commented out': RECORD.replace('node.name', '#node.name').encode(),
    'without an address': RECORD.replace('node.conn[0].address', '#x').encode(),
    'of another target': RECORD.replace(IQN, f'{IQN}x').encode(),
    'a directory': None,
    'a dangling link': 'nowhere',
}


@pytest.mark.parametrize('kind', BROKEN)
def test_a_broken_record_is_made_anew(
    root: pathlib.Path, record: pathlib.Path, iscsiadm: Iscsiadm, kind: str
) -> None:
    """open-iscsi looks for a record of a target without a name: report 3."""
    content = BROKEN[kind]
    record.unlink()
    if content is None:
        record.mkdir()
    elif isinstance(content, str):
        record.symlink_to(content)
    else:
        record.write_bytes(content)
    iscsiadm.home = str(record).partition('/nodes/')[0].removeprefix(f'{root}/')
    assert prepare()
    assert len(iscsiadm.lines) == 1
    (made,) = nodes(root).values()
    assert isinstance(made, bytes)
    assert SECRET.encode() in made
    release()
    assert tree(root) == {}


@pytest.mark.parametrize('kind', BROKEN)
def test_a_broken_record_goes_with_the_detach(
    root: pathlib.Path, record: pathlib.Path, kind: str
) -> None:
    content = BROKEN[kind]
    if not isinstance(content, bytes):
        return
    record.write_bytes(content)
    release()
    assert tree(root) == {}


@pytest.mark.parametrize(
    ('place', 'kind'),
    [
        (f'var/lib/iscsi/nodes/{IQN}', 'file'),
        (f'var/lib/iscsi/nodes/{IQN}', 'link'),
        ('var/lib/iscsi/nodes', 'file'),
        ('var/lib/iscsi/nodes', 'link'),
        (f'etc/iscsi/nodes/{IQN}', 'file'),
        (f'etc/iscsi/nodes/{IQN}/10.0.0.1,3260', 'full'),
        (f'etc/iscsi/nodes/{IQN}/10.0.0.1,3260,1/default', 'full'),
        (f'etc/iscsi/nodes/{IQN}/10.0.0.1,3260,1/default', 'large'),
    ],
)
def test_what_is_in_the_way_is_named(
    root: pathlib.Path, iscsiadm: Iscsiadm, place: str, kind: str
) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'file':
        path.write_text('theirs')
    elif kind == 'link':
        path.symlink_to('nowhere')
    elif kind == 'large':
        path.write_text('#' * (1 << 20))
    else:
        (path / 'x/y').mkdir(parents=True)
    if kind == 'full' and not place.endswith('default'):
        path /= 'x'
    before = tree(root)
    with pytest.raises(exception.BrickException) as caught:
        prepare()
    assert str(path).removeprefix(str(root)) in str(caught.value)
    assert 'remove' in str(caught.value)
    assert tree(root) == before
    assert iscsiadm.lines == []


@pytest.mark.parametrize(
    'where',
    [
        ('iqn.2026-11.org.lab:t2', '10.0.0.1', 3260, 'default'),
        (IQN, '10.0.0.2', 3260, 'default'),
        (IQN, '10.0.0.1', 326, 'default'),
        (IQN, '10.0.0.1', 3260, 'iser'),
    ],
)
def test_no_other_record_is_touched(
    record: pathlib.Path, iscsiadm: Iscsiadm, where: tuple[str, str, int, str]
) -> None:
    iscsiadm.code = 6
    with pytest.raises(exception.BrickException):
        iscsi_db.prepare_node(*where, CHAP, 40.0)
    iscsi_db.release_nodes(where[0], (where[1:3],), prepared_only=True)
    assert record.read_text() == RECORD


@pytest.mark.parametrize(
    ('spelled', 'said'), [('FE80::0001', 'fe80::1'), ('FE80:0:0:0:0:0:0:1', 'fe80::1')]
)
def test_an_address_is_the_same_however_it_is_spelled(
    root: pathlib.Path, spelled: str, said: str
) -> None:
    path = root / f'etc/iscsi/nodes/{IQN}/{spelled},3260,1/default'
    path.parent.mkdir(parents=True)
    path.write_text(RECORD.replace('10.0.0.1', spelled))
    assert not iscsi_db.prepare_node(IQN, said, 3260, 'default', CHAP, 40.0)
    assert SECRET in path.read_text()


@pytest.mark.parametrize('directory', ['static', 'send_targets/10.0.0.1,3260', 'isns', 'fw'])
@pytest.mark.parametrize('is_ours', [True, False])
def test_links_of_open_iscsi_go_with_what_they_lead_to(
    root: pathlib.Path, directory: str, *, is_ours: bool
) -> None:
    """Report 19: open-iscsi leaves the one that it has made for a static record, dangling."""
    record = root / f'var/lib/iscsi/nodes/{IQN}/10.0.0.1,3260,1/default'
    link = root / f'var/lib/iscsi/{directory}/{IQN},10.0.0.1,3260,1,default'
    others = [link.with_name(f'{IQN}x,10.0.0.1,3260,1,default'), link.with_name('x*')]
    link.parent.mkdir(parents=True)
    if not is_ours:
        record.parent.mkdir(parents=True)
        record.write_text(RECORD)
    prepare()
    for each in (link, *others):
        each.symlink_to(record if each is link and not is_ours else 'nowhere')
    release()
    assert link.is_symlink() is not is_ours
    assert all(each.is_symlink() for each in others)


@pytest.mark.parametrize(
    'where',
    [
        ('../../../etc', '10.0.0.1', 3260, 'default'),
        (IQN, '../x', 3260, 'default'),
        (IQN, '10.0.0.1', -1, 'default'),
        (IQN, '10.0.0.1', '3260', 'default'),
        (IQN, '10.0.0.1', 3260, '../default'),
    ],
)
def test_hostile_places(
    root: pathlib.Path, record: pathlib.Path, where: tuple[str, str, int, str]
) -> None:
    before = tree(root)
    with pytest.raises(exception.InvalidParameterValue):
        iscsi_db.prepare_node(*where, CHAP, 40.0)
    assert tree(root) == before


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
        {None: 'x'},
    ],
)
def test_hostile_settings(
    root: pathlib.Path, record: pathlib.Path, settings: dict[str, str]
) -> None:
    before = tree(root)
    with pytest.raises(exception.InvalidParameterValue) as caught:
        prepare(settings)
    assert SECRET not in str(caught.value)
    assert tree(root) == before


DISCOVERY = {
    'discovery.sendtargets.auth.authmethod': 'CHAP',
    'discovery.sendtargets.auth.password': SECRET,
}
OPERATORS_DISCOVERY = b"""\
# BEGIN RECORD 2.1.11
discovery.startup = manual
discovery.type = sendtargets
discovery.sendtargets.auth.authmethod = CHAP
discovery.sendtargets.auth.username = operator
discovery.sendtargets.auth.password = operators-own
#\xff
# END RECORD

"""


def discover() -> tuple[int, str, str]:
    return iscsi_db.discover('10.0.0.1', 3260, 'default', DISCOVERY, 5.0)


def test_a_discovery_leaves_nothing(root: pathlib.Path, iscsiadm: Iscsiadm) -> None:
    assert discover()[0] == 0
    assert SECRET in iscsiadm.discovered_with[0]
    assert tree(root) == {}
    assert not list(root.rglob('os-brick'))


@pytest.mark.parametrize('home', HOMES)
def test_an_operators_credentials_of_discoveries_are_as_they_were(
    root: pathlib.Path, iscsiadm: Iscsiadm, home: str
) -> None:
    """Defect 14."""
    iscsiadm.home = home.lstrip('/')
    path = root / home.lstrip('/') / 'send_targets/10.0.0.1,3260/st_config'
    path.parent.mkdir(parents=True)
    path.write_bytes(OPERATORS_DISCOVERY)
    before = tree(root)
    for code in (0, 24):
        iscsiadm.code = code
        assert discover()[0] == code
        assert tree(root) == before
    said = iscsiadm.discovered_with[0]
    assert SECRET in said
    assert 'operators-own' not in said


@pytest.mark.parametrize('is_operators', [True, False])
def test_a_discovery_whose_daemon_was_killed(
    root: pathlib.Path, iscsiadm: Iscsiadm, monkeypatch: pytest.MonkeyPatch, *, is_operators: bool
) -> None:
    path = root / 'var/lib/iscsi/send_targets/10.0.0.1,3260/st_config'
    if is_operators:
        path.parent.mkdir(parents=True)
        path.write_bytes(OPERATORS_DISCOVERY)
    before = tree(root)
    with monkeypatch.context() as patch:
        patch.setattr(iscsi_db, '_release_discovery', lambda *_words: None)
        discover()
    assert SECRET.encode() in path.read_bytes()
    discover()
    assert tree(root) == before


@pytest.mark.parametrize('content', [b'', b'\0' * 100, b'# BEGIN', b'discovery.type = isns\n'])
def test_a_broken_record_of_discoveries(
    root: pathlib.Path, iscsiadm: Iscsiadm, content: bytes
) -> None:
    path = root / 'etc/iscsi/send_targets/10.0.0.1,3260/st_config'
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert discover()[0] == 0
    assert SECRET in iscsiadm.discovered_with[0]
    assert tree(root) == {}


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        (None, None),
        ('', ''),
        ('InitiatorName=iqn.2026-11.org.lab:init\n', 'iqn.2026-11.org.lab:init'),
        ('## a comment\n\nInitiatorName = iqn.x:y \n', 'iqn.x:y'),
        ('#InitiatorName=iqn.no:no\nInitiatorName=iqn.x:y\n', 'iqn.x:y'),
        ('InitiatorName=\n', ''),
        ('InitiatorAlias=x\n', ''),
        ('GenerateName=yes\n', ''),
    ],
)
def test_initiator_name(root: pathlib.Path, text: str | None, name: str | None) -> None:
    if text is not None:
        (root / 'etc/iscsi/initiatorname.iscsi').write_text(text)
    assert iscsi_db.initiator_name() == name
