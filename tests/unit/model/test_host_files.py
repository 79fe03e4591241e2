# SPDX-License-Identifier: Apache-2.0
"""Files with this host's names, in every state that hosts have them in."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import host_files

UUID = 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'
NQN = f'nqn.2014-08.org.nvmexpress:uuid:{UUID}'
IQN = 'iqn.1993-08.org.debian:01:0123456789ab'
BOM = '\ufeff'


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        *((NQN, NQN), (f'{NQN}\n', NQN), (f'{NQN}\r\n', NQN), (f'  {NQN}  \n', NQN)),
        *(('', ''), ('\n', ''), ('\r\n \n', ''), ('\0' * 64, ''), (' ', '')),
        # The first line counts, up to a NUL, as a crash of some file systems leaves them.
        (f'{NQN}\n{NQN}\n', NQN),
        (f'{NQN}\nnqn.2026-11.org.lab:other\n', NQN),
        (f'{NQN}\n# a comment\n', NQN),
        (f'{NQN}\0\0\0\n', NQN),
        (f'{NQN}\n\0\0\0', NQN),
        ('nqn.2026-11.org.lab:host', 'nqn.2026-11.org.lab:host'),
        ('hostnqn', 'hostnqn'),
    ],
)
def test_host_nqn(text: str, name: str) -> None:
    assert host_files.nvme_host_nqn(text.encode()) == name


@pytest.mark.parametrize(
    'text',
    [
        *(f'# {NQN}\n{NQN}\n', f'"{NQN}"\n', f"'{NQN}'", f'{BOM}{NQN}\n', f'\n{NQN}\n', f'\0{NQN}'),
        *(f'{NQN},{NQN}', 'n' * 223, f'{NQN}\x07', '=x'),
    ],
)
def test_what_is_no_host_nqn(text: str) -> None:
    with pytest.raises(ValueError, match='is not a valid NVMe qualified name of a host'):
        host_files.nvme_host_nqn(text.encode())


@pytest.mark.parametrize(
    ('text', 'host_id'),
    [
        *((UUID, UUID), (f'{UUID}\n', UUID), (f'{UUID.upper()}\r\n', UUID), ('', ''), ('\n\n', '')),
        *((f'{UUID}\n{UUID}\n', UUID), (f'{UUID}\0\0', UUID), ('\0\0', '')),
    ],
)
def test_host_id(text: str, host_id: str) -> None:
    assert host_files.nvme_host_id(text.encode()) == host_id


@pytest.mark.parametrize(
    'text',
    [f'#\n{UUID}', f'"{UUID}"', UUID[:-1], UUID.replace('-', ''), f'{BOM}{UUID}', f'\n{UUID}'],
)
def test_what_is_no_host_id(text: str) -> None:
    with pytest.raises(ValueError, match='is not a valid UUID'):
        host_files.nvme_host_id(text.encode())


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        *((f'InitiatorName={IQN}\n', IQN), (f'InitiatorName={IQN}', IQN)),
        *((f'InitiatorName = {IQN} \n', IQN), (f'  InitiatorName={IQN}\r\n', IQN)),
        (f'## Debian writes this\n\n# InitiatorName=iqn.no\nInitiatorName={IQN}\n', IQN),
        (f'InitiatorAlias=me\nInitiatorName={IQN}\n', IQN),
        (f'InitiatorName={IQN}\nInitiatorName=iqn.second\n', IQN),
        (f'InitiatorName=\nInitiatorName={IQN}\n', IQN),
        # What iscsid logs in by, too: tried on a real target.
        (f'InitiatorName={IQN} # rack 4\n', f'{IQN} # rack 4'),
        (f'InitiatorName="{IQN}"\n', f'"{IQN}"'),
        (f'{BOM}InitiatorName={IQN}\n', IQN),
        (f'InitiatorName={IQN}\0\0\0\n', IQN),
        (f'\0\0InitiatorName={IQN}\n', ''),
        *(
            ('', ''),
            ('\n', ''),
            ('\0' * 64, ''),
            ('GenerateName=yes\n', ''),
            ('InitiatorName=\n', ''),
        ),
        *(
            (f'InitiatorName {IQN}\n', ''),
            ('InitiatorAlias=x\n', ''),
            (f'#InitiatorName={IQN}', ''),
        ),
    ],
)
def test_initiator_name(text: str, name: str) -> None:
    assert host_files.initiator_name(text.encode()) == name


@pytest.mark.parametrize(
    'value', [b'iqn.\xff', b'iqn.a\x07', b'iqn.' + b'a' * 256, 'iqn.\u2028b'.encode()]
)
def test_what_is_no_initiator_name(value: bytes) -> None:
    with pytest.raises(ValueError, match='is not a valid iSCSI name'):
        host_files.initiator_name(b'InitiatorName=' + value + b'\n')


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_file_is_a_name_or_an_error(raw: bytes) -> None:
    for read in (host_files.nvme_host_nqn, host_files.nvme_host_id, host_files.initiator_name):
        try:
            name = read(raw)
        except ValueError:
            continue
        assert name == name.strip(' \t')
        assert len(name.splitlines()) <= 1
