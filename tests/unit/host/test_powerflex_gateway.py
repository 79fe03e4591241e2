# SPDX-License-Identifier: Apache-2.0
"""What a PowerFlex gateway is asked, and what it answers; the connector's tests have the faults."""

from collections.abc import Iterator

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import powerflex_gateway
from os_brick.model import powerflex as model
from tests.doubles import powerflex, web

GUID = '9e56672f-2f4b-4a42-bff4-88b6846fbfda'


class Client:
    def mapped(self, volume: powerflex.Volume) -> None:
        """Nothing to be seen here."""

    def unmapped(self, volume: powerflex.Volume) -> None:
        """Nothing to be seen here."""


@pytest.fixture
def gateway() -> Iterator[powerflex.Gateway]:
    with powerflex.Gateway() as found:
        found.clients[GUID] = Client()
        yield found


@pytest.fixture
def session(gateway: powerflex.Gateway) -> powerflex_gateway.Session:
    assert gateway.certificate is not None
    place = model.Gateway(
        '127.0.0.1',
        gateway.port,
        'admin',
        gateway.passwords['admin'],
        ca_path=str(gateway.certificate.file),
    )
    return powerflex_gateway.Session(place, wait.Deadline.after(30))


@pytest.mark.parametrize('name', ['gold', 'a/b+c==', 'a b', '100%', 'x::y?z#'])
def test_a_volume_is_found_by_any_name(gateway, session, name: str) -> None:
    volume = gateway.volume(name)
    assert session.volume_id(name) == volume.id
    assert session.size_bytes(volume.id) == 8 << 30
    assert session.system_id() == powerflex.SYSTEM
    assert gateway.logins == 1
    session.end()
    session.end()
    assert not gateway.tokens


@pytest.mark.parametrize('code', [3, 79])
def test_a_name_that_no_volume_has(gateway, session, code: int) -> None:
    """Only the gateway's word for it counts: any other error is one."""
    reply = web.json_reply({'message': 'Not found', 'errorCode': code}, 500)
    gateway.faults.append(web.Fault('reply', 'getByName', times=2, value=reply))
    assert session.volume_id('none', kept='1' * 16) == '1' * 16
    with pytest.raises(exception.BrickException, match='Not found'):
        session.volume_id('none')
    for other in (web.Reply(500, b''), web.Reply(404, b''), web.json_reply({'errorCode': 5}, 500)):
        gateway.faults[:] = [web.Fault('reply', 'getByName', value=other)]
        with pytest.raises(exception.BrickException, match='look up'):
            session.volume_id('none', kept='1' * 16)


@pytest.mark.parametrize('release', [3, 4])
def test_mapping_and_unmapping_twice(gateway, session, release: int) -> None:
    gateway.release = release
    volume = gateway.volume('gold')
    assert session.map(volume.id, GUID) is True
    assert session.map(volume.id, GUID) is False
    session.limit(volume.id, GUID, model.Limits(1024, 100))
    assert volume.mapped == {GUID: {'bandwidthLimitInKbps': '1024', 'iopsLimit': '100'}}
    session.unmap(volume.id, GUID)
    session.unmap(volume.id, GUID)
    assert not volume.mapped


@pytest.mark.parametrize('kind', ['late', 'closed', 'half'])
def test_an_order_whose_answer_is_lost_counts_as_ours(gateway, session, kind: str) -> None:
    volume = gateway.volume('gold')
    gateway.faults.append(web.Fault(kind, 'addMappedSdc'))
    assert session.map(volume.id, GUID) is True
    assert volume.mapped


def test_a_client_that_the_system_does_not_know(gateway, session) -> None:
    volume = gateway.volume('gold')
    with pytest.raises(exception.BrickException, match=r'SDC was not found \(error 83\)'):
        session.map(volume.id, '0' * 36)


@pytest.mark.parametrize('reply', [web.json_reply(['?']), web.json_reply({'sizeInKb': True})])
def test_answers_of_another_form(gateway, session, reply: web.Reply) -> None:
    volume = gateway.volume('gold')
    gateway.faults.append(web.Fault('reply', '::', times=2, value=reply))
    with pytest.raises(exception.BrickException, match='no size'):
        session.size_bytes(volume.id)
    with pytest.raises(exception.BrickException, match='no ID'):
        session.volume_id('gold')
    gateway.faults[:] = [web.Fault('reply', 'System', value=reply)]
    with pytest.raises(exception.BrickException, match='does not report the ID of its one system'):
        session.system_id()


def test_a_page_instead_of_an_error(gateway, session) -> None:
    volume = gateway.volume('gold')
    gateway.faults.append(web.Fault('status', 'addMappedSdc', value=500))
    with pytest.raises(exception.BrickException, match='status 500'):
        session.map(volume.id, GUID)


def test_a_session_that_cannot_be_ended(gateway, session) -> None:
    gateway.volume('gold')
    session.volume_id('gold')
    gateway.stop()
    session.deadline = wait.Deadline.after(0.2)
    session.end()
