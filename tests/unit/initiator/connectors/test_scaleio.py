# SPDX-License-Identifier: Apache-2.0
"""PowerFlex volumes, against a gateway that keeps state over HTTPS and a client in the kernel."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
import contextlib
import copy
import logging
import threading
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import clock
from os_brick.host import powerflex as host_powerflex
from os_brick.initiator import connector
from os_brick.initiator.connectors import scaleio
from os_brick.model import powerflex as model
from tests import breadth
from tests.doubles import powerflex, web
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import scini

CONF = model.CONNECTOR_CONF
PASSWORD = 'S3cret-password'


@pytest.fixture
def gateway() -> Iterator[powerflex.Gateway]:
    with powerflex.Gateway() as found:
        yield found


@pytest.fixture
def sdc(host: fake_host.Host, gateway: powerflex.Gateway) -> scini.Scini:
    host.network.servers['127.0.0.1', gateway.port] = gateway.port
    assert gateway.certificate is not None
    host.tree.file(str(gateway.certificate.file), gateway.certificate.file.read_text())
    return scini.Scini(host, gateway)


@pytest.fixture
def gold(gateway: powerflex.Gateway, sdc: scini.Scini) -> powerflex.Volume:
    return gateway.volume('Zx+/gold=')


@pytest.fixture
def brick() -> scaleio.ScaleIOConnector:
    return scaleio.ScaleIOConnector(None)


def _names(lines: list[str]) -> list[str]:
    """The requests that came, in a word each."""
    return [line.rpartition('/')[2].partition('::')[0] for line in lines]


# Attach, extend, detach.


@pytest.mark.parametrize('release', [3, 4])
def test_the_life_of_a_volume(release: int, host, gateway, sdc, gold, brick) -> None:
    gateway.release = release
    props = gateway.properties(gold)
    before, kept = host.snapshot(), copy.deepcopy(props)
    for _ in range(2):
        info = brick.connect_volume(props)
        assert info == {'type': 'block', 'path': sdc.link(gold)}
    assert brick.get_volume_paths(props) == [sdc.link(gold)]
    assert brick.check_valid_device(info['path'])
    assert brick.get_all_available_volumes() == [sdc.link(gold)]
    bigger = sdc.grow(gold, 16)
    assert brick.extend_volume(props) == bigger
    for _ in range(2):
        brick.disconnect_volume(props, info)
        assert not gold.mapped
    assert host.flushes == ['scinia']
    assert host.snapshot() == before
    assert props == kept
    assert not gateway.tokens


def test_what_an_attach_asks(gateway, gold, brick) -> None:
    """A login, the system, the order, a logout: no request is made to be refused."""
    brick.connect_volume(gateway.properties(gold))
    assert _names(gateway.lines()) == ['login', 'instances', 'addMappedSdc', 'logout']


def test_a_volume_without_an_id(host, gateway, sdc, gold, brick) -> None:
    """It is of before Newton; its name has to be quoted twice."""
    props = gateway.properties(gold, scaleIO_volume_id=None)
    before = host.snapshot()
    info = brick.connect_volume(props)
    assert info['path'] == sdc.link(gold)
    assert brick.get_volume_paths(props) == [sdc.link(gold)]
    assert brick.extend_volume(props) == 8 << 30
    brick.disconnect_volume(props, None)
    assert host.snapshot() == before
    props['scaleIO_volname'] = 'none'
    with pytest.raises(exception.BrickException, match="look up volume 'none': Not found"):
        brick.connect_volume(props)


def test_a_volume_that_cinder_maps(host, gateway, sdc, gold, brick) -> None:
    """The gateway is not asked; a detach writes back, and the device stays until it is unmapped."""
    props = {
        'scaleIO_volname': gold.name,
        'scaleIO_volume_id': gold.id.upper(),
        'sdc_guid': sdc.guid.upper(),
    }
    with pytest.raises(exception.VolumeDeviceNotFound, match='does not appear'):
        brick.connect_volume(props)
    with pytest.raises(exception.VolumePathsNotFound):
        brick.extend_volume(props)
    gateway._map(gold, {'guid': sdc.guid})
    info = brick.connect_volume(props)
    assert info['path'] == sdc.link(gold)
    assert brick.extend_volume(props) == 8 << 30
    bigger = sdc.grow(gold, 16)
    assert brick.extend_volume(props) == bigger
    brick.disconnect_volume(props, info)
    assert host.flushes == ['scinia']
    assert gold.mapped
    gateway._unmap(gold, {'guid': sdc.guid})
    host.settle()
    brick.disconnect_volume(props, info)
    assert not gateway.seen


def test_a_volume_that_cinder_has_mapped_to_another_client(sdc, gold, brick) -> None:
    other = '11111111-2222-3333-4444-555555555555'
    props = {'scaleIO_volname': 'gold', 'scaleIO_volume_id': gold.id, 'sdc_guid': other}
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        brick.connect_volume(props)
    assert f'mapped to client {other}, and this one is {sdc.guid}' in caught.value.__notes__[0]


def test_limits(gateway, sdc, gold, brick) -> None:
    props = gateway.properties(gold, iopsLimit='500', bandwidthLimit=10240)
    brick.connect_volume(props)
    assert gold.mapped[sdc.guid] == {'iopsLimit': '500', 'bandwidthLimitInKbps': '10240'}
    assert brick.connect_volume(gateway.properties(gold, iopsLimit=100))
    assert gold.mapped[sdc.guid] == {'iopsLimit': '100'}


def test_limits_that_are_refused(host, gateway, gold, brick) -> None:
    before = host.snapshot()
    with pytest.raises(exception.BrickException, match=r'larger than 10 \(error 388\)'):
        brick.connect_volume(gateway.properties(gold, iopsLimit=5))
    assert not gold.mapped
    assert host.snapshot() == before


def test_an_encrypted_volume_has_a_link(host, gateway, sdc, gold, brick) -> None:
    props = gateway.properties(gold, encrypted=True)
    before = host.snapshot()
    info = brick.connect_volume(props)
    assert info['path'] == f'/dev/disk/by-id/os-brick{sdc.link(gold).replace("/", "+")}'
    brick.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert host.snapshot() == before


def test_the_link_of_an_encrypted_volume_that_cinder_maps(host, gateway, sdc, gold, brick) -> None:
    """The device is still there when its link goes."""
    gateway._map(gold, {'guid': sdc.guid})
    host.settle()
    before = host.snapshot()
    props = {'scaleIO_volume_id': gold.id, 'sdc_guid': sdc.guid, 'encrypted': True}
    info = brick.connect_volume(props)
    assert info['path'].startswith('/dev/disk/by-id/os-brick')
    brick.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert host.snapshot() == before


def test_connector_properties(host, sdc) -> None:
    assert scaleio.ScaleIOConnector.get_connector_properties(None) == {'sdc_guid': sdc.guid}
    sdc.guid = '00000000-0000-0000-0000-000000000000'
    assert scaleio.ScaleIOConnector.get_connector_properties(None) == {}
    host.tree.remove(scini.DEVICE)
    assert scaleio.ScaleIOConnector.get_connector_properties(None) == {}
    assert isinstance(
        connector.InitiatorConnector.factory('SCALEIO', None), scaleio.ScaleIOConnector
    )


# The wrong volume.


def test_a_volume_of_another_system_with_the_same_id(host, gateway, sdc, gold, brick) -> None:
    """The system that its gateway reports decides; without a gateway nothing is handed out."""
    props = gateway.properties(gold)
    sdc.appear(gold, f'/dev/disk/by-id/emc-vol-1111111111111111-{gold.id}')
    sdc.names.clear()
    assert brick.connect_volume(props)['path'] == sdc.link(gold)
    assert gold.mapped
    mapped = {'scaleIO_volume_id': gold.id, 'sdc_guid': sdc.guid}
    with pytest.raises(exception.BrickException, match='several PowerFlex systems'):
        brick.connect_volume(mapped)
    brick.disconnect_volume(props, None)
    assert host.flushes == ['scinib']
    assert not gold.mapped


@pytest.mark.parametrize(
    'link',
    [
        'emc-vol-{system}-{id}-part1',
        'emc-vol-{system}-0{id}',
        'x-emc-vol-{system}-{id}',
        'emc-vol-{id}',
    ],
)
def test_links_that_only_look_like_it(link: str, host, gateway, sdc, gold, brick) -> None:
    name = link.format(system=powerflex.SYSTEM, id=gold.id)
    sdc.appear(gold, f'/dev/disk/by-id/{name}')
    assert brick.get_volume_paths(gateway.properties(gold)) == []


def test_a_link_that_leads_nowhere(host, gateway, sdc, gold, brick) -> None:
    host.tree.link(sdc.link(gold), '/dev/scinix')
    sdc.delay = None
    with pytest.raises(exception.VolumeDeviceNotFound, match='no link'):
        brick.connect_volume(gateway.properties(gold))
    assert not gold.mapped


OTHER = 'ffff04d03e3ad60f'
# What a gateway may answer that does not say which one system it is of.
NO_SYSTEM: list[web.Reply] = [
    web.Reply(500, b'<html>'),
    web.Reply(404, b'Not found'),
    web.Reply(403, b''),
    web.Reply(200, b'not JSON'),
    *(
        web.json_reply(value)
        for value in (None, 'x', {}, [], [{}], [{'id': 5}], [{'id': ''}], [{'id': '../x'}])
    ),
    web.json_reply([{'id': 'a'}, {'id': 'b'}]),
]


@pytest.fixture
def foreign(sdc, gold) -> str:
    """A volume of another system with the ID of the volume is on the host."""
    name = sdc.appear(gold, f'/dev/disk/by-id/emc-vol-{OTHER}-{gold.id}')
    sdc.names.clear()
    return str(name)


@pytest.mark.parametrize('reply', NO_SYSTEM)
def test_a_gateway_that_does_not_report_its_system(
    reply: web.Reply, host, gateway, sdc, gold, foreign, brick
) -> None:
    """No other system's device is handed out, written back or waited for in its place."""
    props = gateway.properties(gold)
    fault = web.Fault('reply', 'System/instances', times=99, value=reply)
    gateway.faults.append(fault)
    sdc.delay = 3
    with pytest.raises(exception.BrickException, match=r'[Ss]ystem'):
        brick.connect_volume(props)
    assert not [line for line in gateway.lines() if 'addMappedSdc' in line]
    gateway.faults.clear()
    info = brick.connect_volume(props)
    gateway.faults.append(fault)
    for verb in (
        lambda: brick.disconnect_volume(props, info),
        lambda: brick.extend_volume(props),
        lambda: brick.get_volume_paths(props),
    ):
        with pytest.raises(exception.BrickException, match=r'[Ss]ystem'):
            verb()
    assert (host.flushes, bool(gold.mapped)) == ([], True)
    brick.disconnect_volume(props, info, force=True, ignore_errors=True)
    assert host.flushes == ['scinib']
    assert not gold.mapped


def test_a_gateway_that_reports_its_system_at_the_second_try(
    host, gateway, sdc, gold, foreign, brick
) -> None:
    gateway.faults.append(web.Fault('status', 'System/instances', value=500))
    assert brick.connect_volume(gateway.properties(gold))['path'] == sdc.link(gold)


def test_a_forced_detach_that_knows_no_system(host, gateway, sdc, gold, foreign, brick) -> None:
    """What was written is not lost: all that may be the volume is written back, and stays."""
    props = gateway.properties(gold)
    brick.connect_volume(props)
    gateway.faults.append(web.Fault('status', 'System/instances', times=99, value=500))
    begun = clock.monotonic()
    with pytest.raises(exception.ExceptionChainer, match='report its system'):
        brick.disconnect_volume(props, None, force=True)
    assert clock.monotonic() - begun < 10
    assert sorted(host.flushes) == [foreign, 'scinib']
    assert not gold.mapped
    host.settle()
    assert host.tree.at(f'/dev/{foreign}').exists()


def test_an_attach_that_fails_does_not_wait_for_another_systems_device(
    host, gateway, sdc, gold, foreign, brick
) -> None:
    sdc.delay = None
    begun = clock.monotonic()
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        brick.connect_volume(gateway.properties(gold))
    assert clock.monotonic() - begun < 30
    assert not getattr(caught.value, '__notes__', [])
    assert not gold.mapped


def test_the_kept_path_tells_the_system_where_cinder_maps(host, sdc, gateway, gold, brick) -> None:
    """Of two systems the one whose path was returned."""
    props = {'scaleIO_volume_id': gold.id, 'sdc_guid': sdc.guid}
    gateway._map(gold, {'guid': sdc.guid})
    host.settle()
    info = brick.connect_volume(props)
    sdc.names.clear()
    sdc.appear(gold, f'/dev/disk/by-id/emc-vol-{OTHER}-{gold.id}')
    with pytest.raises(exception.BrickException, match='several PowerFlex systems'):
        brick.disconnect_volume(props, None)
    brick.disconnect_volume(props, info)
    assert host.flushes == ['scinia']
    assert brick.extend_volume({**props, 'device_path': info['path']}) == 8 << 30
    assert brick.get_volume_paths({**props, 'device_path': info['path']}) == [info['path']]


# Which volume a name means: (the old one is renamed, a new one has its name).
FATES = [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize('force', [False, True])
@pytest.mark.parametrize('kept', ['device_info', 'device_path', 'link'])
@pytest.mark.parametrize('fate', FATES)
def test_a_name_that_means_another_volume_at_detach(
    fate: tuple[bool, bool], kept: str, force: bool, host, gateway, sdc, gold, brick
) -> None:
    """The path of the attach is the volume; where the name contradicts it, nothing is done."""
    more = {'scaleIO_volume_id': None, 'encrypted': kept == 'link'}
    props = gateway.properties(gold, **more)
    before = host.snapshot()
    info = brick.connect_volume(props)
    is_renamed, is_reused = fate
    other = gateway.volume(gold.name if is_reused else 'silver')
    gateway._map(other, {'guid': sdc.guid})
    host.settle()
    if is_renamed:
        gold.name = 'old'
    if kept == 'device_path':
        props, info = {**props, 'device_path': info['path']}, None
    if is_reused:
        with pytest.raises(exception.BrickException) as caught:
            brick.disconnect_volume(props, info, force=force)
        for word in (gold.id, other.id, 'scaleIO_volume_id'):
            assert word in str(caught.value)
        with pytest.raises(exception.VolumeIdentityMismatch):
            brick.extend_volume({**props, 'device_path': sdc.link(gold)})
        assert host.flushes == []
        assert gold.mapped
    else:
        brick.disconnect_volume(props, info, force=force)
        assert host.flushes == ['scinia']
        assert not gold.mapped
    assert other.mapped
    brick.disconnect_volume(gateway.properties(gold, **more | {'scaleIO_volume_id': gold.id}), info)
    gateway._unmap(other, {'guid': sdc.guid})
    host.settle()
    if kept != 'link' or not is_reused:
        assert host.snapshot() == before


def test_a_kept_path_of_another_system(host, gateway, sdc, gold, brick) -> None:
    """It is not the volume of this gateway that has the same ID."""
    props = gateway.properties(gold, scaleIO_volume_id=None)
    brick.connect_volume(props)
    kept = {'path': f'/dev/disk/by-id/emc-vol-{OTHER}-{gold.id}'}
    with pytest.raises(exception.VolumeIdentityMismatch, match=OTHER):
        brick.disconnect_volume(props, kept)
    assert gold.mapped
    # With the ID in the properties a path is a hint, as everywhere.
    brick.disconnect_volume(gateway.properties(gold), kept)
    assert not gold.mapped


def test_a_forced_detach_by_name_of_a_gateway_that_is_away(host, gateway, sdc, gold, brick) -> None:
    """With the path what was written is written back; without, no volume is known."""
    props = gateway.properties(gold, scaleIO_volume_id=None)
    info = brick.connect_volume(props)
    gateway.faults.append(web.Fault('closed', '', times=999))
    with pytest.raises(exception.ExceptionChainer):
        brick.disconnect_volume(props, None, force=True)
    assert host.flushes == []
    with pytest.raises(exception.ExceptionChainer):
        brick.disconnect_volume(props, info, force=True)
    assert host.flushes == ['scinia']
    assert gold.mapped


@pytest.mark.parametrize('force', [False, True])
@pytest.mark.parametrize('mapped_by', ['us', 'cinder'])
def test_a_volume_in_use_whose_link_is_missing(
    mapped_by: str, force: bool, host, gateway, sdc, gold, brick
) -> None:
    """udev was restarted: a device that no link names may be the volume, so it is not ignored."""
    props = gateway.properties(gold)
    info = brick.connect_volume(props)
    if mapped_by == 'cinder':
        props = {'scaleIO_volume_id': gold.id, 'sdc_guid': sdc.guid}
    silver = brick.connect_volume(gateway.properties(gateway.volume('silver')))
    host.tree.remove(sdc.link(gold))
    holder = '/sys/devices/virtual/block/scinia/holders/dm-7'
    host.tree.directory(holder)
    if not force:
        with pytest.raises(exception.VolumeInUse, match='dm-7') as caught:
            brick.disconnect_volume(props, info)
        assert gold.id in caught.value.__notes__[0]
        assert (host.flushes, bool(gold.mapped)) == ([], True)
        host.tree.prune(holder)
    brick.disconnect_volume(props, info, force=force)
    assert host.flushes == ['scinia']
    assert bool(gold.mapped) == (mapped_by == 'cinder')
    assert brick.check_valid_device(silver['path'])


def test_a_device_that_is_another_volumes_after_an_extend(host, gateway, sdc, gold, brick) -> None:
    """Its name was given away while the size was waited for; the size is not the volume's."""
    props = gateway.properties(gold)
    brick.connect_volume(props)
    big = gateway.volume('big', 100)
    sdc.grow(gold, 16)

    def swap(request: int, answer: bytearray) -> None:
        gold.mapped.clear()
        sdc.vanish(gold)
        sdc._next = 0
        sdc.appear(big)
        answer[0] = 65

    host.ioctls[scini.DEVICE] = swap
    with pytest.raises(exception.VolumePathsNotFound):
        brick.extend_volume(props)


# What goes wrong.


def test_a_device_that_never_comes(host, gateway, sdc, gold, brick) -> None:
    sdc.delay = None
    begun = clock.monotonic()
    with pytest.raises(exception.VolumeDeviceNotFound, match=gold.id):
        brick.connect_volume(gateway.properties(gold))
    assert 19 < clock.monotonic() - begun < 30
    assert not gold.mapped


def test_a_device_that_does_not_go(gateway, sdc, gold, brick) -> None:
    props = gateway.properties(gold)
    brick.connect_volume(props)
    sdc.delay = None
    with pytest.raises(exception.VolumePathNotRemoved, match=gold.id):
        brick.disconnect_volume(props, None)
    with pytest.raises(exception.ExceptionChainer):
        brick.disconnect_volume(props, None, force=True)
    brick.disconnect_volume(props, None, force=True, ignore_errors=True)


def test_a_volume_in_use(host, gateway, sdc, gold, brick) -> None:
    props = gateway.properties(gold)
    brick.connect_volume(props)
    host.tree.directory('/sys/devices/virtual/block/scinia/holders/dm-7')
    with pytest.raises(exception.VolumeInUse, match='dm-7'):
        brick.disconnect_volume(props, None)
    assert gold.mapped
    brick.disconnect_volume(props, None, force=True)
    assert not gold.mapped


def test_a_size_that_does_not_come_or_is_less(gateway, sdc, gold, brick) -> None:
    props = gateway.properties(gold)
    brick.connect_volume(props)
    gold.size_kb = 4 << 20
    with pytest.raises(exception.VolumeHasShrunk):
        brick.extend_volume(props)
    sdc.grow(gold, 16)
    sdc.names.clear()  # It looks, and finds nothing new.
    with pytest.raises(exception.OperationTimedOut, match='17179869184 bytes'):
        brick.extend_volume(props)


def test_a_host_without_the_client(host, gateway, gold, brick) -> None:
    host.tree.remove(scini.DEVICE)
    with pytest.raises(exception.BrickException, match='client of this host'):
        brick.connect_volume(gateway.properties(gold))
    assert not gold.mapped


# Who logs in.


def test_a_token_of_the_caller(gateway, gold, brick) -> None:
    """It is used as long as it is valid, and is not ours to end."""
    token = gateway._new_token('admin')
    props = gateway.properties(gold, serverToken=token)
    brick.connect_volume(props)
    assert gateway.logins == 0
    assert token in gateway.tokens
    gateway.expire()
    brick.disconnect_volume(props, None)
    assert gateway.logins == 1
    assert not gateway.tokens


def test_a_token_that_ends_meanwhile(gateway, gold, brick) -> None:
    class Restarts(web.Fault):
        def strikes(self, line: str) -> bool:
            if self.times and 'addMappedSdc' in line:
                self.times -= 1
                gateway.expire()
            return False

    gateway.faults.append(Restarts('status'))
    brick.connect_volume(gateway.properties(gold))
    assert gateway.logins == 2
    assert gold.mapped


@pytest.mark.parametrize('way', ['properties', 'file'])
def test_a_wrong_password_is_sent_once(way: str, host, gateway, gold, brick) -> None:
    """More often would lock the user out."""
    props = gateway.properties(gold, serverPassword='old-S3cret')
    if way == 'file':
        host.tree.file(CONF, '[one]\nsan_password = old-S3cret\n')
        props['config_group'] = 'one'
    with pytest.raises(exception.BrickException, match='log in user') as caught:
        brick.connect_volume(props)
    assert gateway.logins == 1
    assert 'old-S3cret' not in str(caught.value)


def test_a_password_that_was_changed_is_read_anew(host, gateway, gold, brick) -> None:
    host.tree.file(CONF, f'[one]\nsan_username = admin\nsan_password = {PASSWORD}\n')
    props = gateway.properties(gold, config_group='one', serverUsername='x', serverPassword=None)
    brick.connect_volume(props)
    gateway.passwords['admin'] = 'ne%w'
    gateway.expire()
    host.tree.file(CONF, '[one]\nsan_username = admin\nsan_password = ne%w\n')
    brick.disconnect_volume(props, None)
    assert not gold.mapped


def test_the_password_of_the_replica(host, gateway, gold, brick) -> None:
    text = f'[one]\nsan_password = no\nreplicating_san_password = {PASSWORD}\n'
    host.tree.file(CONF, f'{text}replicating_san_username = admin\n')
    props = gateway.properties(gold, config_group='one', failed_over=True, serverUsername=None)
    assert brick.connect_volume(props)


def test_a_manager_that_has_its_own_login_only(gateway, gold, brick) -> None:
    gateway.release, gateway.has_old_login = 4, False
    props = gateway.properties(gold)
    brick.connect_volume(props)
    brick.disconnect_volume(props, None)
    assert not gateway.tokens


def test_secrets_are_in_no_log(host, gateway, gold, brick, caplog) -> None:
    caplog.set_level(logging.DEBUG, logger='')
    props = gateway.properties(gold)
    gateway.faults.append(
        web.Fault(
            'reply',
            'addMappedSdc',
            value=web.json_reply({'message': f'bad {PASSWORD}', 'errorCode': 7}, 500),
        )
    )
    with pytest.raises(exception.BrickException, match='error 7') as caught:
        brick.connect_volume(props)
    brick.connect_volume(props)
    tokens = list(gateway.tokens)
    texts = [caplog.text, str(caught.value), repr(scaleio._Request.parse(props))]
    for text in texts:
        assert not [secret for secret in (PASSWORD, *tokens) if secret in text]


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f'{user}:{password}'.encode()).decode()


@pytest.mark.parametrize(
    'text',
    [
        f'bad {PASSWORD}',
        f'bad {PASSWORD.upper()}',
        f'Authorization: Basic {_basic("admin", PASSWORD)}',
        f'header {_basic("admin", PASSWORD)}',
        f'password {base64.b64encode(PASSWORD.encode()).decode()}',
        'header {header}',
        'header {value}',
        'token {token}',
    ],
)
@pytest.mark.parametrize('release', [3, 4])
@pytest.mark.parametrize('place', ['login', 'addMappedSdc'])
def test_a_gateway_that_repeats_what_it_was_sent(
    place: str, release: int, text: str, host, gateway, gold, brick, caplog
) -> None:
    """Nothing that would let one log in is in an error or a log."""
    caplog.set_level(logging.DEBUG, logger='')
    gateway.release, gateway.has_old_login = release, release == 3
    sent: list[str] = []

    class Echoes(web.Fault):
        def strikes(self, line: str) -> bool:
            if place not in line or 'logout' in line:
                return False
            header = gateway.seen[-1].headers.get('authorization', 'Basic ' + _basic('admin', 'x'))
            value, token = header.partition(' ')[2], [*gateway.tokens, 'none'][0]
            sent.extend((value, token))
            message = text.format(header=header, value=value, token=token)
            self.value = web.json_reply({'message': message, 'errorCode': 5}, 500)
            return True

    gateway.faults.append(Echoes('reply'))
    with pytest.raises(exception.BrickException, match='error 5') as caught:
        brick.connect_volume(gateway.properties(gold))
    for shown in (str(caught.value), caplog.text):
        for secret in (PASSWORD, _basic('admin', PASSWORD), *sent):
            assert secret.lower() not in shown.lower() or secret == 'none'


@pytest.mark.parametrize('token', ['\ud800', 'a\r\nX-Evil: 1', '\u20ac', 'a\0'])
@pytest.mark.parametrize('release', [3, 4])
def test_a_token_that_cannot_be_sent(token: str, release: int, gateway, gold, brick) -> None:
    gateway.release, gateway.has_old_login = release, release == 3
    content = token if release == 3 else {'access_token': token}
    gateway.faults.append(web.Fault('reply', 'login', release - 3, 9, web.json_reply(content)))
    with pytest.raises(exception.BrickException, match='returns no token') as caught:
        brick.connect_volume(gateway.properties(gold))
    assert str(caught.value).isprintable()


def test_a_password_of_the_file_that_cannot_be_sent(
    host, gateway, gold, brick, monkeypatch
) -> None:
    """No error has it, in whatever attribute."""
    secret = 'S3CRET\ud800'
    monkeypatch.setattr(host_powerflex, 'credentials', lambda *_args, **_more: ('admin', secret))
    with pytest.raises(exception.InvalidParameterValue, match='password') as caught:
        brick.connect_volume(gateway.properties(gold, config_group='one'))
    error: BaseException | None = caught.value
    while error is not None:
        assert 'S3CRET' not in f'{error!r}{error.args}{vars(error)}'
        error = error.__cause__ or error.__context__


def test_a_session_whose_attach_cannot_be_taken_back_ends(gateway, sdc, gold, brick) -> None:
    sdc.delay = None
    gateway.faults.append(web.Fault('status', 'removeMappedSdc', times=9, value=400))
    with pytest.raises(exception.VolumeDeviceNotFound):
        brick.connect_volume(gateway.properties(gold))
    assert not gateway.tokens


def test_a_message_with_line_breaks(gateway, gold, brick) -> None:
    """It forges no line of a log."""
    message = 'one\r\n2026-01-01 ERROR forged\x1b[31m\u2028two \x00\ud800'
    reply = web.json_reply({'message': message, 'errorCode': 5}, 500)
    gateway.faults.append(web.Fault('reply', 'addMappedSdc', times=9, value=reply))
    with pytest.raises(exception.BrickException) as caught:
        brick.connect_volume(gateway.properties(gold))
    assert str(caught.value).isprintable()
    assert r'one\r\n2026' in str(caught.value)


# A fault at each request.


Verb = Callable[[], Any]


def _attempt(verb: Verb) -> str:
    try:
        verb()
    except exception.BrickException as error:
        return f'{type(error).__name__}: {error}'
    return ''


# Kind, value, and whether it lasts.
FAULTS: list[tuple[str, Any, bool]] = [
    ('closed', None, True),
    ('late', None, False),
    ('half', None, False),
    ('status', 500, True),
    ('status', 401, False),
    ('reply', web.json_reply(['?']), False),
]
MORE: list[tuple[str, Any, bool]] = [
    ('late', None, True),
    ('half', None, True),
    ('status', 401, True),
    ('status', 503, False),
    ('redirect', 'https://127.0.0.1:1/', False),
    ('raw', b'SSH-2.0-OpenSSH\r\n', False),
    ('reply', web.Reply(200, b''), True),
    ('huge', None, False),
]


@pytest.mark.parametrize(('kind', 'value', 'lasts'), FAULTS + (MORE if breadth.EVERYTHING else []))
def test_a_fault_at_each_request(
    kind: str, value: Any, lasts: bool, host, gateway, sdc, gold, brick
) -> None:
    """Whatever fails, the next try attaches; and a volume that is detached is mapped nowhere.

    An attach that fails leaves nothing, unless the gateway does not let it take anything back.
    """
    props = gateway.properties(gold, iopsLimit=100)
    before = host.snapshot()
    number, ended, times = 0, False, 99 if lasts else 1
    while not ended:
        seen = len(gateway.seen)
        gateway.faults[:] = [web.Fault(kind, '', number, times, value)]
        failed = _attempt(lambda: brick.connect_volume(props))
        ended = len(gateway.seen) - seen <= number
        gateway.faults.clear()
        assert PASSWORD not in failed
        if failed and not lasts:
            assert not gold.mapped, f'{kind} at {number}: {failed}'
        brick.connect_volume(props)
        gateway.faults[:] = [web.Fault(kind, '', number, times, value)]
        _attempt(lambda: brick.disconnect_volume(props, None))
        gateway.faults.clear()
        brick.disconnect_volume(props, None, force=True)
        assert not gold.mapped
        assert host.snapshot() == before, f'{kind} at {number}'
        number += 1
    assert number > 3


def test_a_volume_in_use_is_not_taken_away_by_another_attach_that_fails(
    host, gateway, sdc, gold, brick
) -> None:
    props = gateway.properties(gold)
    brick.connect_volume(props)
    for kind in ('late', 'closed', 'half'):
        gateway.faults.append(web.Fault(kind, 'addMappedSdc', 0, 9))
        with pytest.raises(exception.StorageServerError):
            brick.connect_volume(props)
        gateway.faults.clear()
        assert gold.mapped
        assert brick.get_volume_paths(props)


@pytest.mark.parametrize('kind', ['mute', 'hung', 'late_hung', 'drip'])
@pytest.mark.parametrize('verb', ['attach', 'detach', 'extend'])
def test_deadlines(kind: str, verb: str, host, gateway, gold, brick) -> None:
    """A gateway that takes the connection and says nothing, or a byte now and then."""
    props = gateway.properties(gold)
    if verb != 'attach':
        brick.connect_volume(props)
    cfg.CONF.set_override('operation_timeout', 0.5, group='os_brick')
    gateway.faults.append(web.Fault(kind, '', 0, 99, 0.2))
    act = {
        'attach': lambda: brick.connect_volume(props),
        'detach': lambda: brick.disconnect_volume(props, None),
        'extend': lambda: brick.extend_volume(props),
    }[verb]
    begun = clock.monotonic()
    try:
        with pytest.raises(exception.OperationTimedOut):
            act()
    finally:
        cfg.CONF.clear_override('operation_timeout', group='os_brick')
    # What may have been done is taken back, for two seconds at least.
    assert clock.monotonic() - begun < 10


def test_a_gateway_that_restarts(host, gateway, gold, brick) -> None:
    gateway.stop()
    host.clock.after(1.0, gateway.start)
    host.network.servers['127.0.0.1', gateway.port] = gateway.port
    brick.connect_volume(gateway.properties(gold))
    assert gold.mapped


def test_a_certificate_of_another_name(host, sdc) -> None:
    with powerflex.Gateway(name='other.lab') as other:
        volume = other.volume('gold')
        host.network.servers['127.0.0.1', other.port] = other.port
        host.tree.file(str(other.certificate.file), other.certificate.file.read_text())
        props = other.properties(volume)
        brick = scaleio.ScaleIOConnector(None)
        with pytest.raises(exception.StorageServerNotTrusted):
            brick.connect_volume(props)
        assert not other.seen
        other.clients[sdc.guid] = sdc
        sdc.gateway = other
        assert brick.connect_volume({**props, 'verify_certificate': False})


def test_a_redirect_gets_no_credentials(host, gateway, gold, brick) -> None:
    with web.Server() as other:
        url = f'http://127.0.0.1:{other.port}/api/login'
        gateway.faults.append(web.Fault('redirect', '', 0, 99, url))
        with pytest.raises(exception.StorageServerError, match='redirects'):
            brick.connect_volume(gateway.properties(gold))
        assert not other.seen


# Side by side, and killed.


def test_side_by_side(host, gateway, sdc, gold, brick) -> None:
    """The same volume and others; each thread sees it attached."""
    volumes = [gold, gold, gateway.volume('silver'), gateway.volume('iron')]
    paths: list[str] = []

    def run(volume: powerflex.Volume) -> None:
        paths.append(brick.connect_volume(gateway.properties(volume))['path'])

    threads = [threading.Thread(target=run, args=(volume,)) for volume in volumes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(paths) == sorted(sdc.link(volume) for volume in volumes)
    for volume in volumes:
        brick.disconnect_volume(gateway.properties(volume), None)
    assert not any(volume.mapped for volume in volumes)


class Killed(BaseException):
    """The process is gone: nothing is taken back."""


@pytest.mark.parametrize('verb', ['attach', 'detach'])
def test_killed_at_each_request(verb: str, host, gateway, sdc, gold, brick) -> None:
    """What comes after it, an attach or a detach, finds its way from there."""
    props = gateway.properties(gold)
    before = host.snapshot()
    for number in range(6):
        for follows in ('attach', 'detach') if breadth.EVERYTHING else ('attach',):
            if verb == 'detach':
                brick.connect_volume(props)
            with _killed_after(gateway, host, number), contextlib.suppress(Killed):
                if verb == 'attach':
                    brick.connect_volume(props)
                else:
                    brick.disconnect_volume(props, None)
            if follows == 'attach':
                assert brick.connect_volume(props)['path'] == sdc.link(gold)
            brick.disconnect_volume(props, None)
            assert not gold.mapped
            assert host.snapshot() == before


@contextlib.contextmanager
def _killed_after(gateway: powerflex.Gateway, host: fake_host.Host, number: int) -> Iterator[None]:
    """Have every connection after so many end this process, undo included."""
    left = len(gateway.seen) + number
    real = host.network.open

    def opened(address: str, port: int, seconds: float) -> Any:
        if len(gateway.seen) >= left:
            raise Killed
        return real(address, port, seconds)

    host.network.open = opened  # type: ignore[method-assign]
    try:
        yield
    finally:
        del host.network.open  # type: ignore[attr-defined]


@pytest.mark.parametrize('act', range(2))
def test_an_attach_that_is_interrupted(act: int, host, gateway, gold, brick) -> None:
    """While the client is asked for its GUID; while the volume is read."""
    before = host.snapshot()
    host.fail(act, 'interrupted')
    with pytest.raises(KeyboardInterrupt):
        brick.connect_volume(gateway.properties(gold))
    assert not gold.mapped
    assert host.snapshot() == before


# Properties.


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('scaleIO_volname', None),
        ('scaleIO_volname', ''),
        ('scaleIO_volname', 'gold\n'),
        ('scaleIO_volume_id', '../../x'),
        ('scaleIO_volume_id', 7),
        ('sdc_guid', 'x'),
        ('sdc_guid', 7),
        ('serverIP', None),
        ('serverIP', 'a b'),
        ('serverIP', 'x/y'),
        ('serverIP', ']127.0.0.1['),
        ('serverIP', '[127.0.0.1'),
        ('serverIP', '[[::1]]'),
        ('serverPort', None),
        ('serverPort', 'https'),
        ('serverPort', 0),
        ('serverPort', 65536),
        ('serverUsername', None),
        ('serverPassword', None),
        ('serverPassword', ['geheim']),
        ('serverPassword', 'S3cret-password\ud800'),
        ('serverUsername', 'x\ud800'),
        ('serverToken', 'S3cret-password\ud800'),
        ('serverToken', 7),
        ('iopsLimit', 'geheim'),
        ('bandwidthLimit', -1),
        ('config_group', 'a]b'),
        ('config_group', 7),
        ('verify_certificate', 'perhaps'),
        ('failed_over', []),
        ('certificate_path', 7),
        ('device_path', '\0'),
    ],
)
def test_bad_properties(key: str, value: Any, gateway, gold, brick) -> None:
    props = {**gateway.properties(gold), key: value}
    for verb in (
        lambda: brick.connect_volume(props),
        lambda: brick.disconnect_volume(props, None),
        lambda: brick.extend_volume(props),
        lambda: brick.get_volume_paths(props),
    ):
        with pytest.raises(exception.InvalidParameterValue, match=key) as caught:
            verb()
        assert PASSWORD not in str(caught.value)
    assert not gateway.seen


def test_a_certificate_file_that_is_not_there(gateway, gold, brick) -> None:
    props = gateway.properties(gold, certificate_path='/none.pem')
    with pytest.raises(exception.InvalidParameterValue, match=r'/none\.pem'):
        brick.connect_volume(props)
    assert not gateway.seen


def test_a_gateway_with_an_ipv6_address(host, gateway, gold, brick) -> None:
    host.network.servers['fd00::8', 443] = gateway.port
    more = {'serverIP': '[fd00::8]', 'serverPort': 443, 'verify_certificate': 'False'}
    assert brick.connect_volume(gateway.properties(gold, **more))
    assert gateway.seen[0].headers['host'] == '[fd00::8]:443'
