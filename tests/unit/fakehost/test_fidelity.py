# SPDX-License-Identifier: Apache-2.0
"""The fake host is as the real one was: same directories, same links, same answers.

Compared with recorded/guest.json: Linux 6.12.107, open-iscsi 2.1.11, multipath-tools 0.11.1.
"""

import json
import pathlib
import re
from typing import Any

import pytest

from tests.unit.fakehost import array, iscsiadm, multipathd
from tests.unit.fakehost import host as fake_host

RECORDED: dict[str, Any] = json.loads(
    (pathlib.Path(__file__).parent / 'recorded/guest.json').read_text()
)['iscsi']
# Numbers that the kernel counts up, and names that follow from addresses.
COUNTED = re.compile(r'(?<=host)\d+|(?<=session)\d+|(?<=connection)\d+|(?<=target)\d+|\d+(?=:0:0:)')
# The fake answers for its devices without these links; nothing of the library reads them.
BEYOND = re.compile(r'/sys/class/bsg/')


def shape(path: str) -> str:
    return COUNTED.sub('N', path)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Any:
    """As recorded: two portals, one volume, a map."""
    with fake_host.Host(tmp_path) as found:
        target = found.target('t1', portals=2)
        target.luns[1] = array.Unit()
        for portal in target.portals:
            session = found.log_in(target, portal)
            found.tree.file(f'/sys/class/scsi_host/host{session.host}/scan', '0 0 1')
        found.snapshot()
        assert found.claim('sda')
        assert found.claim('sdb')
        yield found


def test_every_name_below_a_session_is_a_real_one(host: fake_host.Host) -> None:
    real = {shape(line.partition(' -> ')[0]) for line in RECORDED['sysfs']}
    # The recording leaves out the roots of the trees that it walked.
    made = {
        shape(path) + '/' * (text == '/')
        for path, text in host.snapshot().items()
        if path.startswith('/sys/devices/platform/') and path.count('/') > 4
    }
    missing = {path for path in made if path not in real}
    assert not missing


def test_every_name_of_a_map_is_a_real_one(host: fake_host.Host) -> None:
    real = {shape(line.partition(' -> ')[0]) for line in RECORDED['map tree']}
    made = {
        shape(path) + '/' * (text == '/')
        for path, text in host.snapshot().items()
        if path.startswith('/sys/devices/virtual/block/dm-0/')
    }
    assert made <= real


def test_links_lead_where_they_really_lead(host: fake_host.Host) -> None:
    real = {
        shape(path): shape(target)
        for path, target in RECORDED['links'].items()
        if path.startswith('/sys/') and 'pci' not in target and not BEYOND.match(path)
    }
    made = {
        shape(path): shape(text.removeprefix('-> '))
        for path, text in host.snapshot().items()
        if path.startswith(('/sys/class/', '/sys/block/', '/sys/bus/')) and text.startswith('-> ')
    }
    assert {path: made.get(path) for path in real if 'dm-' not in path and 'host' not in path} == {
        path: target for path, target in real.items() if 'dm-' not in path and 'host' not in path
    }
    assert made['/sys/block/dm-0'] == real['/sys/block/dm-0']


def test_values_look_as_real_ones(host: fake_host.Host) -> None:
    keys = {path.rpartition('/')[2] for path in RECORDED['values']}
    for path, text in RECORDED['values'].items():
        key = path.rpartition('/')[2]
        mine = [
            t for p, t in host.snapshot().items() if p.endswith(f'/{key}') and '/session1/' in p
        ]
        assert mine, key
        assert all(value.endswith('\n') for value in (*mine, text))
        if key in ('state', 'ifacename', 'target_id'):
            assert text in mine
    assert keys >= {'targetname', 'state', 'persistent_address', 'port'}


@pytest.mark.parametrize('portal', [0, 1])
def test_pages_are_laid_out_as_lios(portal: int) -> None:
    """The same designators in the same order, apart from the two long names of the port."""
    pages = array.Unit().pages()
    disk = RECORDED['disks'][portal]
    for number in (0x80, 0x83):
        real = bytes.fromhex(disk['asked'][f'{number:02x}'])
        assert pages[number][:2] == real[:2]
        assert int.from_bytes(real[2:4], 'big') == len(real) - 4
        assert int.from_bytes(pages[number][2:4], 'big') == len(pages[number]) - 4
    heads = _heads(bytes.fromhex(disk['asked']['83']))
    # LIO sets the bit "protocol identifier valid" of port names; no one looks at it.
    assert [(c & 0x0F, k & 0x3F) for c, k in heads[:5]] == _heads(pages[0x83])


def _heads(page: bytes) -> list[tuple[int, int]]:
    found, start = [], 4
    while start < len(page):
        found.append((page[start], page[start + 1]))
        start += 4 + page[start + 3]
    return found


@pytest.mark.parametrize(
    'question',
    [
        *('add path sdzzz', 'del path sdzzz', 'show path sdzzz', 'del map nosuch'),
        'disablequeueing map nosuch',
    ],
)
def test_multipathd_says_the_same(host: fake_host.Host, question: str) -> None:
    (real,) = [text for asked, text in RECORDED['multipathd'].items() if asked[3:] == question]
    assert multipathd.answer_to(host, question) == real.strip()


def test_multipathd_lists_paths_in_the_same_form(host: fake_host.Host) -> None:
    real = RECORDED['multipathd']['01 show paths raw format "%d %w %T %m"'].splitlines()
    mine = multipathd.answer_to(host, 'show paths raw format "%d %w %T %m"').splitlines()
    wwid = re.compile(r'36001405\w+')
    assert sorted(wwid.sub('W', line) for line in mine) == sorted(wwid.sub('W', e) for e in real)


@pytest.mark.parametrize(
    'what',
    [
        'new',
        'new again',
        'login',
        'login again',
        'delete missing',
        'logout missing',
        'refused',
        'iface missing',
    ],
)
def test_iscsiadm_ends_with_the_same_code(tmp_path: pathlib.Path, what: str) -> None:
    real = RECORDED['said'][what]
    with fake_host.Host(tmp_path) as host:
        target = host.target('t1')
        node = ('-m', 'node', '-T', target.iqn, '-p', str(target.portals[0]), '-I', 'default')
        if what not in ('new', 'delete missing'):
            iscsiadm.run(host, (*node, '--op', 'new'), 5)
            path = next(host.tree.at('/var/lib/iscsi/nodes').rglob('127*'))
            path.write_text(path.read_text().replace('scan = auto', 'scan = manual'))
        if what == 'login again':
            iscsiadm.run(host, (*node, '--login'), 5)
        if what == 'refused':
            target.chap = ('user', 'secretsecret')
        words = [str(target.portals[0]) if ':3260' in word else word for word in real['argv'][1:]]
        assert iscsiadm.run(host, tuple(words), 5)[0] == real['exit_code']


def test_records_are_where_they_really_are(host: fake_host.Host) -> None:
    target = host.targets[0]
    node = ('-m', 'node', '-T', target.iqn, '-p', str(target.portals[0]), '-I', 'default')
    iscsiadm.run(host, (*node, '--op', 'new'), 5)
    (path,) = [
        path for path in host.snapshot() if path.startswith(f'/var/lib/iscsi/nodes/{target.iqn}/')
    ]
    assert [
        p for p in RECORDED['records'] if re.fullmatch(r'/var/lib/iscsi/nodes/[^/]+/[\d.]+,3260', p)
    ]
    assert re.fullmatch(r'/var/lib/iscsi/nodes/[^/]+/[\d.]+,\d+', path)
    real = next(text for p, text in RECORDED['records'].items() if '10.99.9.1' in p and 'rec' in p)
    mine = host.tree.at(path).read_text()
    assert (mine.splitlines()[0], mine.splitlines()[-1]) == (
        real.splitlines()[0],
        real.splitlines()[-1],
    )
    names = {line.partition(' = ')[0] for line in mine.splitlines()}
    assert names <= {line.partition(' = ')[0] for line in real.splitlines()}
