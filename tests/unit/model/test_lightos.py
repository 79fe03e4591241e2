# SPDX-License-Identifier: Apache-2.0
"""Files of the discovery client, read back as the client reads them."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import lightos
from tests.unit.fakehost import discovery_client

UUID = '6bbb54a0-6a7c-4b7c-9c57-0d0f3a1b2c3d'
NQN = 'nqn.2016-01.com.lightbitslabs:uuid:0d0f3a1b'
HOST = 'nqn.2014-08.org.nvmexpress:uuid:5a9c1a5e-7d0f-4c3a-9d39-1f1b3c2d4e5f'


def test_a_file() -> None:
    entry = lightos.Entry(UUID, HOST, NQN, (('10.0.0.1', '8009'), ('fd00::2', '8009')))
    text = lightos.text(entry)
    assert text.startswith('#')
    assert UUID in text.splitlines()[0]
    assert text.splitlines()[1] == f'-t tcp -a 10.0.0.1 -s 8009 -q {HOST} -n {NQN}'
    assert lightos.file_name(UUID) == f'{UUID}.conf'


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_the_client_reads_what_was_meant(host: str, nqn: str, address: str) -> None:
    """Whatever the names are, they are refused or read back as they are."""
    entry = lightos.Entry(UUID, host, nqn, ((address, '8009'),))
    try:
        text = lightos.text(entry)
    except ValueError:
        return
    assert discovery_client.parsed(text) == [
        discovery_client.Service('tcp', address, '8009', host, nqn)
    ]


@pytest.mark.parametrize(
    ('wanted', 'found'),
    [
        ('/etc/discovery-client/discovery.d/', '/etc/discovery-client/discovery.d'),
        ('/srv/dsc', '/srv/dsc'),
        ('/srv/dsc/..', None),
        ('/etc', None),
        ('', None),
    ],
)
def test_directories_that_are_configured(wanted: str, found: str | None) -> None:
    assert lightos.directory(('/srv/dsc/',), wanted) == found
