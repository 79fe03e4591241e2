# SPDX-License-Identifier: Apache-2.0
"""``os-brick explain`` of each kind of word, on the fake host."""

import io
import json
from typing import Any

import pytest

from os_brick.cmd import main
from os_brick.doctor import catalogue, errors
from tests.unit.doctor.conftest import Ward, ward  # noqa: F401 a fixture

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('os.geteuid', lambda: 0)


def explained(capsys: Capture, what: str, *more: str) -> str:
    assert main.main(['explain', what, *more]) == 0
    return capsys.readouterr().out


def test_a_finding_with_its_cases_here(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    text = explained(capsys, 'lun-unmapped')
    assert text.startswith('lun-unmapped: DISK (ADDRESS) has nothing behind it any more')
    assert 'On this host now: nothing' in text
    del ward.target.luns[1]
    text = explained(capsys, 'lun-unmapped')
    assert 'FAIL X  lun-unmapped  sda' in text


@pytest.mark.parametrize('name', catalogue.entries())
def test_every_finding_can_be_explained(name: str, ward: Ward, capsys: Capture) -> None:  # noqa: F811
    found = json.loads(explained(capsys, name, '-f', 'json'))
    assert found['schema'] == 'os-brick/explain/1'
    assert (found['kind'], found['id'], found['findings']) == ('finding', name, [])


@pytest.mark.parametrize('name', errors.classes())
def test_every_error_can_be_explained(name: str, ward: Ward, capsys: Capture) -> None:  # noqa: F811
    found: dict[str, Any] = json.loads(explained(capsys, errors.code(name), '-f', 'json'))
    assert [each['name'] for each in found['errors']] == [name]
    assert name in explained(capsys, name)


def test_a_pasted_log(
    ward: Ward,  # noqa: F811
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the error means, and what on this host may be behind it."""
    ward.host.tree.remove('/usr/sbin/iscsiadm')

    def paste(text: str) -> None:
        monkeypatch.setattr('sys.stdin', io.TextIOWrapper(io.BytesIO(text.encode())))

    paste('x\nos_brick.exception.HostNotReady: iscsiadm is missing. token=S3cr3t\n')
    text = explained(capsys, '-')
    assert text.startswith('HostNotReady (host-not-ready)')
    assert 'FAIL H  program-missing  iscsiadm is not installed' in text
    assert 'S3cr3t' not in text
    paste('nothing\n')
    assert main.main(['explain', '-']) == 4
    assert 'traceback' in capsys.readouterr().err


def test_a_thing_with_what_is_wrong_with_it(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    disk = ward.map.disks[0]
    ward.host.set_state(disk, 'offline')
    text = explained(capsys, disk.name)
    assert text.startswith(f'{disk.name} is a path of {ward.map.name}')
    assert 'takes no I/O: offline' in text
    assert 'map-degraded' in text
    assert 'iscsid' not in text
    text = explained(capsys, ward.map.name)
    assert '1 of 2 take I/O' in text


def test_a_thing_that_is_well(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    ward.host.tree.value('/etc/nvme/hostid', 'f0000000-7d0f-4c3a-9d39-1f1b3c2d4e5f')
    text = explained(capsys, ward.map.name)
    assert '2 of 2 take I/O' in text
    assert 'On this host now: nothing of that is found.' in text


def test_what_there_is_not(ward: Ward, capsys: Capture) -> None:  # noqa: F811
    assert main.main(['explain', 'nonsense']) == 4
    assert 'neither a finding' in capsys.readouterr().err
