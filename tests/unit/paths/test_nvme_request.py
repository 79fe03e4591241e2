# SPDX-License-Identifier: Apache-2.0
"""How the paths to a namespace are connected: what the caller passes, then what is configured."""

from collections.abc import Iterator
import dataclasses
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.model import fabrics, settings
from os_brick.paths import nvme_request
from os_brick.request import nvmeof
from tests.unit.fakehost import nvme

UUID = '11111111-2222-4333-8444-555555555555'
NQN = 'nqn.2026-11.org.lab:one'
OTHER = 'nqn.2026-11.org.lab:caller'
SECRET, OWN = (f'DHHC-1:00:{letter * 48}:' for letter in 'ab')


@pytest.fixture
def fabric(tmp_path: pathlib.Path) -> Iterator[nvme.StrikingFabric]:
    with nvme.striking(tmp_path) as found:
        yield found


def props(**more: Any) -> nvmeof.NvmeRequest:
    return nvmeof.NvmeRequest.parse(
        {
            'target_nqn': NQN,
            'portals': [('10.0.0.1', '4420', 'tcp')],
            'vol_uuid': UUID,
            **more,
        }
    )


def request_of(found: nvmeof.NvmeRequest, **configured: Any) -> Any:
    conf = settings.Settings(nvme=settings.NVMe(**configured))
    deadline = wait.Deadline.after(60)
    with locks.shared(locks.VOLUME, found.key, deadline) as lock:
        op = operation.of(deadline, undo.Undo(), conf, lock)
        return nvme_request.request_of(found, found.namespaces[0], op)


@pytest.mark.usefixtures('fabric')
def test_secrets_of_the_caller_go_before_configured_ones() -> None:
    """Both together: a configured secret of the subsystem does not go with a caller's own."""
    configured = {'dhchap_secret': OWN, 'dhchap_ctrl_secret': OWN, 'nr_io_queues': 4}
    found = request_of(props(), **configured).options
    assert (found.dhchap_secret, found.dhchap_ctrl_secret, found.nr_io_queues) == (OWN, OWN, 4)
    found = request_of(props(dhchap_secret=SECRET), **configured).options
    assert (found.dhchap_secret, found.dhchap_ctrl_secret, found.nr_io_queues) == (SECRET, None, 4)
    assert SECRET not in repr(found)


@pytest.mark.usefixtures('fabric')
@pytest.mark.parametrize(
    ('is_replicated', 'configured', 'seconds'),
    [(False, None, None), (False, 9, 9), (True, None, 5), (True, 0, 0), (True, 9, 9)],
)
def test_a_member_of_an_array_fails_soon(
    is_replicated: bool, configured: int | None, seconds: int | None
) -> None:
    """An array learns of a lost member by errors only."""
    volume = props()
    if is_replicated:
        member = {'target_nqn': NQN, 'portals': [('10.0.0.1', '4420', 'tcp')], 'vol_uuid': UUID}
        volume = nvmeof.NvmeRequest.parse(
            {
                'vol_uuid': UUID,
                'alias': 'vol1',
                'volume_replicas': [member, member],
                'replica_count': 2,
            }
        )
    assert request_of(volume, fast_io_fail_tmo=configured).options.fast_io_fail_tmo == seconds


def test_who_this_host_is(fabric: nvme.StrikingFabric) -> None:
    own_id = nvme.HOST.rpartition(':')[2]
    assert request_of(props()).host == (nvme.HOST, own_id)
    assert request_of(props(host_nqn=OTHER)).host == (OTHER, fabrics.host_id_of(OTHER))
    name = fabric.connect_by_hand(fabric.subsystem('two'))
    place = f'/sys/class/nvme-fabrics/ctl/{name}'
    fabric.file(f'{place}/hostnqn', OTHER)
    fabric.file(f'{place}/hostid', 'in-use')
    assert request_of(props(host_nqn=OTHER)).host == (OTHER, 'in-use'), 'the kernel takes no other'


@pytest.mark.usefixtures('fabric')
def test_a_configured_key_that_is_not_valid_is_named_and_not_shown() -> None:
    with pytest.raises(exception.InvalidParameterValue, match='nvmeof_tls_psk') as caught:
        request_of(props(), tls_psk='geheim')
    assert 'geheim' not in str(caught.value)


def test_host_names_of_portals(
    fabric: nvme.StrikingFabric, caplog: pytest.LogCaptureFixture
) -> None:
    fabric.network.names = {'portal.lab': ('10.0.0.1', '10.0.0.2'), 'one.lab': ('10.0.0.1',)}
    names = ('portal.lab', 'one.lab', 'gone.lab')
    (namespace,) = props(portals=[(name, '4420', 'tcp') for name in names]).namespaces
    found = nvme_request.resolved(namespace, wait.Deadline.after(9), is_here=True)
    assert [each.address for each in found] == ['10.0.0.1', '10.0.0.2', 'gone.lab']
    assert 'The host name of portal tcp gone.lab:4420 does not resolve' in caplog.text
    # A controller of the subsystem may be the one at that portal.
    subsystem = fabric.subsystem('one')
    fabric.connect_by_hand(subsystem)
    behind = dataclasses.replace(namespace, nqn=subsystem.nqn)
    with pytest.raises(exception.TargetPortalNotFound, match=r'gone\.lab'):
        nvme_request.resolved(behind, wait.Deadline.after(9), is_here=True)
    assert nvme_request.resolved(behind, wait.Deadline.after(9), is_here=False) == found


def test_a_port_of_the_array_is_reached_from_every_own_port(fabric: nvme.StrikingFabric) -> None:
    """Fibre Channel: ports that are not online are no way to it."""
    for number, state in ((0, 'Online'), (1, 'Linkdown'), (2, 'Online')):
        place = f'/sys/class/fc_host/host{number}'
        fabric.file(f'{place}/port_name', f'0x210000e00000000{number}')
        fabric.file(f'{place}/node_name', f'0x200000e00000000{number}')
        fabric.file(f'{place}/port_state', state)
    target = 'nn-0x10000090fa942779:pn-0x20000090fa942779'
    (namespace,) = props(portals=[(target, '', 'fc')]).namespaces
    paths = nvme_request.paths_of(namespace, wait.Deadline.after(9))
    assert [path.portal.host_address for path in paths] == [
        f'nn-0x200000e00000000{number}:pn-0x210000e00000000{number}' for number in (0, 2)
    ]
    assert {path.portal.address for path in paths} == {target}
    for number in (0, 2):
        fabric.file(f'/sys/class/fc_host/host{number}/port_state', 'Linkdown')
    with pytest.raises(exception.VolumeDeviceNotFound, match='no Fibre Channel port of this host'):
        nvme_request.paths_of(namespace, wait.Deadline.after(9))
