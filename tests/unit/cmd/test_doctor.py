# SPDX-License-Identifier: Apache-2.0
"""``os-brick doctor`` from words to an exit code, on the fake host."""

import json
import os
import pathlib
import shutil
from typing import Any

import pytest

from os_brick import privileged
from os_brick.cmd import doctor, main
from os_brick.doctor import catalogue, site
from tests.unit.doctor.conftest import Ward, ward  # noqa: F401 a fixture
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('os.geteuid', lambda: 0)


def called(capsys: Capture, *words: str) -> tuple[int, str]:
    code = main.main(['doctor', *words])
    return code, capsys.readouterr().out


def document(capsys: Capture, *words: str) -> tuple[int, dict[str, Any]]:
    code, text = called(capsys, *words, '-f', 'json')
    return code, json.loads(text)


def test_a_host_that_is_well(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    code, text = called(capsys)
    assert code == 0
    assert len(text.splitlines()) == 1
    assert '30 checks, 30 good' in text


def test_three_lines_a_finding(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    """What is wrong with which object; why it matters; what to type."""
    del ward.target.luns[1]
    code, text = called(capsys)
    assert code == 2
    lines = text.splitlines()
    assert lines[2].startswith('FAIL X  lun-unmapped  sd')
    assert 'has nothing behind it any more: iqn.2026-11.org.lab:t1' in lines[2]
    assert any('The array gives the LUN' in line for line in lines)
    assert any(
        line.startswith(('     →  ', '     ->  ')) and 'del path sda' in line for line in lines
    )
    assert lines[-1].startswith('os-brick explain lun-unmapped')


def test_json_is_the_contract(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    ward.target.luns[1] = array.Unit('other')
    code, found = document(capsys)
    assert code == found['exit_code'] == 2
    assert set(found) == {
        *('schema', 'host', 'at', 'seconds', 'exit_code', 'checks', 'silenced', 'findings'),
        *('unread', 'has_storage', 'hosts'),
    }
    assert found['schema'] == 'os-brick/doctor/1'
    first = found['findings'][0]
    assert set(first) == {
        *('id', 'harm', 'level', 'object', 'text', 'why', 'repair', 'source', 'evidence'),
    }
    assert (first['id'], first['object']) == ('identity-stale', 'sda')
    assert first['evidence']['reported'] == ward.target.luns[1].wwid


def test_a_warning_is_one(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    ward.host.tree.value('/etc/nvme/hostid', 'f0000000-7d0f-4c3a-9d39-1f1b3c2d4e5f')
    assert called(capsys)[0] == 1
    assert called(capsys, '--skip', 'hostid-mismatch')[0] == 0
    assert called(capsys, 'ghost-map')[0] == 0
    assert called(capsys, '--harm', 'd')[0] == 0
    assert called(capsys, '--harm', 'DH')[0] == 1


def test_what_is_not_looked_at_is_three(
    ward: Ward,  # noqa: F811
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('os.geteuid', lambda: 1000)
    code, text = called(capsys)
    assert code == 3
    assert 'which volume each disk reports to be: root is needed' in text
    assert 'identity-stale' in text
    code, found = document(capsys)
    assert {'what', 'why', 'affects'} == set(found['unread'][0])
    # A failure that is seen all the same is one.
    ward.host.multipathd_runs = False
    ward.around.end(762)
    assert called(capsys)[0] == 2


def test_a_disk_that_hangs_costs_its_line(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    ward.target.luns[1].unresponsive = True
    before = ward.host.clock.monotonic()
    code, text = called(capsys, '--timeout', '5')
    assert code == 3
    assert 'sdb: it does not answer' in text
    assert ward.host.maps
    assert ward.host.clock.monotonic() - before < 5


def test_a_bad_file_of_the_site_is_named(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    ward.host.tree.file(f'{site.DIRECTORY}/a.yaml', 'findings: {ghost-map: {level: Z}}')
    code, text = called(capsys)
    assert code == 3
    assert f'{site.DIRECTORY}/a.yaml: findings.ghost-map.level' in text


def test_what_was_not_looked_at_is_not_good(
    ward: Ward,  # noqa: F811
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('os.geteuid', lambda: 1000)
    _code, found = document(capsys)
    hidden = {name for each in found['unread'] for name in each['affects']}
    text = called(capsys)[1]
    assert f'30 checks, {30 - len(hidden)} good, {len(hidden)} not looked at completely' in text


@pytest.mark.parametrize('without', ['/sys', '/proc'])
def test_a_container_without_a_file_system_of_the_kernel(
    without: str,
    ward: Ward,  # noqa: F811
    capsys: Capture,
) -> None:
    """No finding, and what was not looked at: not a host that is well."""
    shutil.rmtree(ward.host.tree.at(without))
    code, text = called(capsys)
    assert code == 3
    assert f'{without} is not mounted here' in text
    _code, found = document(capsys)
    hidden = {name for each in found['unread'] for name in each['affects']}
    assert {'identity-stale', 'orphan-disk', 'session-stuck', 'map-degraded'} <= hidden
    assert found['findings'] == []


def test_a_host_without_storage_is_told_so(tmp_path: pathlib.Path, capsys: Capture) -> None:
    with fake_host.Host(tmp_path):
        _code, text = called(capsys)
        assert 'Nothing to be judged was found' in text
        assert not document(capsys)[1]['has_storage']


@pytest.mark.parametrize(
    'path',
    [
        f'{site.DIRECTORY}/a.yaml',
        '/etc/nova/nova.conf',
        '/etc/iscsi/initiatorname.iscsi',
        '/etc/nvme/hostid',
    ],
)
def test_a_file_that_would_hang_costs_its_line(ward: Ward, capsys: Capture, path: str) -> None:  # noqa: F811
    place = ward.host.tree.at(path)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(place)
    code, found = document(capsys)
    assert code == 3
    assert [path in each['what'] or each['affects'] for each in found['unread']]
    assert len(found['unread']) == 1


def test_a_reader_that_hangs_costs_its_share(ward: Ward) -> None:  # noqa: F811
    """A name that is read without a look at what it is: its reader waits, the others do not."""
    place = ward.host.tree.at('/etc/nvme/hostnqn')
    place.unlink()
    os.mkfifo(place)
    try:
        result = doctor.examined(1.0)
    finally:
        os.close(os.open(place, os.O_WRONLY))  # The reader goes on, and ends.
    assert ("this host's NVMe names", 'it does not answer') in {
        (each.what, each.why) for each in result.unread
    }
    assert result.exit_code == 3


def test_a_configuration_that_cannot_be_read(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    assert main.main(['doctor', '--config-file', '/no/such']) == 64
    assert '/no/such' in capsys.readouterr().err


def test_the_list_has_every_finding(capsys: Capture) -> None:
    code, found = document(capsys, '--list')
    assert code == 0
    assert [each['id'] for each in found['findings']] == list(catalogue.entries())


@pytest.mark.parametrize('words', [['nothing'], ['--skip', 'nothing'], ['--harm', 'q']])
def test_what_there_is_not(words: list[str], capsys: Capture) -> None:
    assert main.main(['doctor', *words]) == 64
    assert '--list' in capsys.readouterr().err


def test_a_fleet(tmp_path: pathlib.Path, capsys: Capture) -> None:
    hosts = [{'host': name, 'initiator': 'iqn.2026-11.org.lab:same'} for name in 'ab']
    path = tmp_path / 'fleet'
    path.write_text(json.dumps(hosts))
    code, text = called(capsys, '--fleet', str(path))
    assert code == 2
    assert 'a, b have the same iSCSI name' in text
    assert text.startswith('2 hosts: 4 checks, 3 good, 1 failure')
    path.write_text('')
    assert main.main(['doctor', '--fleet', str(path)]) == 64
    assert main.main(['doctor', '--fleet', str(tmp_path / 'no')]) == 64


def test_many_cases_are_few_lines(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    for number in range(2, 40):
        ward.target.luns[number] = array.Unit(f'v{number}')
        ward.host.find_lun(next(iter(ward.host.sessions.values())), number)
    ward.host.settle()
    code, text = called(capsys)
    assert code == 1
    assert len(text.splitlines()) < 40
    assert 'and 30 more' in text
    assert len(document(capsys)[1]['findings']) == 38


def test_the_root_functions_run_in_this_process() -> None:
    doctor.read_here  # noqa: B018 imported, and no daemon started by that
    assert not privileged.default.client_mode
