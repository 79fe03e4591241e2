# SPDX-License-Identifier: Apache-2.0
"""The host's NVMe identity: made once, written whole, and never fatal."""

from collections.abc import Iterator
import pathlib
import stat
from typing import Any

import pytest

from os_brick import utils
from os_brick.core import files, process
from os_brick.privileged import nvmeof
from tests.unit import seams

UUID = '5a9c1a5e-7d0f-4c3a-9d39-1f1b3c2d4e5f'
NQN = f'nqn.2014-08.org.nvmexpress:uuid:{UUID}'


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'etc').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


def _written(root: pathlib.Path, name: str) -> tuple[str, int]:
    path = root / 'etc/nvme' / name
    assert [entry.name for entry in path.parent.iterdir()] == [name]
    return path.read_text(), stat.S_IMODE(path.stat().st_mode)


def test_the_nqn_follows_from_the_uuid_without_a_program(root: pathlib.Path) -> None:
    with process.use(seams.Programs({})):
        assert utils.get_host_nqn(UUID) == NQN
    assert _written(root, 'hostnqn') == (NQN, 0o644)
    with process.use(seams.Programs({})):
        assert utils.get_host_nqn() == NQN


@pytest.mark.parametrize(
    ('shown', 'made'),
    [
        ((0, f'{NQN}\n', ''), None),
        ((2, '', 'hostnqn is not available'), (0, f'{NQN}\n', '')),
        ((1, 'ERROR: Invalid sub-command', ''), (0, f'{NQN}\n', '')),
        ((0, 'hostnqn is not available -- use nvme gen-hostnqn', ''), (0, f'{NQN}\n', '')),
    ],
)
def test_nvme_cli_says_the_nqn(root: pathlib.Path, shown: Any, made: Any) -> None:
    table = {'nvme show-hostnqn': [shown], 'nvme gen-hostnqn': [made] if made else []}
    with process.use(seams.Programs(table)):
        assert nvmeof.create_hostnqn() == NQN
    assert _written(root, 'hostnqn') == (NQN, 0o644)


def test_no_tool_gives_nothing_and_writes_nothing(root: pathlib.Path) -> None:
    table = {'nvme show-hostnqn': [FileNotFoundError()], 'nvme gen-hostnqn': [FileNotFoundError()]}
    with process.use(seams.Programs(table)):
        assert nvmeof.create_hostnqn() == ''
    assert not (root / 'etc/nvme').exists()


def test_an_empty_file_is_as_good_as_none(root: pathlib.Path) -> None:
    (root / 'etc/nvme').mkdir()
    (root / 'etc/nvme/hostnqn').touch()
    assert utils.get_host_nqn(UUID) == NQN


def test_a_bad_uuid_is_not_written(root: pathlib.Path) -> None:
    assert nvmeof.create_hostnqn('../x') == ''
    assert nvmeof.create_hostid('x\ny') is None
    assert not (root / 'etc/nvme').exists()


def test_the_host_id_is_given_or_drawn(root: pathlib.Path) -> None:
    assert utils.get_nvme_host_id(UUID) == UUID
    assert _written(root, 'hostid') == (f'{UUID}\n', 0o644)
    assert utils.get_nvme_host_id(None) == UUID
    (root / 'etc/nvme/hostid').unlink()
    drawn = utils.get_nvme_host_id(None)
    assert drawn
    assert drawn != UUID


def test_the_uuid_of_the_machine(root: pathlib.Path) -> None:
    with process.use(seams.Programs({'dmidecode -ssystem-uuid': [(0, f'{UUID}\n', '')]})):
        assert nvmeof.get_system_uuid() == UUID
    with process.use(seams.Programs({'dmidecode -ssystem-uuid': [FileNotFoundError()]})):
        assert nvmeof.get_system_uuid() == ''
    (root / 'sys/class/dmi/id').mkdir(parents=True)
    (root / 'sys/class/dmi/id/product_uuid').write_text('abc\n')
    assert nvmeof.get_system_uuid() == 'abc'


def test_a_name_that_cannot_be_written_is_none(root: pathlib.Path) -> None:
    """Else every call would tell another one that nothing connects by."""
    (root / 'etc/nvme/hostnqn').mkdir(parents=True)
    assert nvmeof.create_hostnqn(UUID) == ''


@pytest.mark.parametrize('said', ['nqn.x:a,b', 'nqn.x:"a"\nmore', ''])
def test_what_is_not_a_name_is_not_written(root: pathlib.Path, said: str) -> None:
    answer = (0, said, '')
    table = {'nvme show-hostnqn': [answer], 'nvme gen-hostnqn': [answer]}
    with process.use(seams.Programs(table)):
        assert nvmeof.create_hostnqn() == ''
    assert not (root / 'etc/nvme').exists()


def test_an_id_that_cannot_be_written_is_told_once_with_the_remedy(
    root: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The name is there: an operator has made it, and the directory is read-only since."""
    (root / 'etc/nvme').mkdir()
    (root / 'etc/nvme/hostnqn').write_text(NQN)
    (root / 'etc/nvme/hostid').mkdir()
    assert utils.get_host_nqn() == NQN
    assert utils.get_nvme_host_id(UUID) is None
    (record,) = caplog.records
    assert record.levelname == 'WARNING'
    assert '/etc/nvme/hostid' in record.getMessage()
    assert 'uuidgen' in record.getMessage()
