# SPDX-License-Identifier: Apache-2.0
"""What a detach and an extend would do, by the connector; nothing of it is done."""

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from os_brick.initiator.connectors.rbd import RBDConnector
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost.fixtures import host  # noqa: F401


def test_plans_change_nothing(host: fake_host.Host) -> None:  # noqa: F811
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit()
    connector = iscsi.ISCSIConnector(None, use_multipath=True)
    properties = target.properties()
    with pytest.raises(exception.VolumePathsNotFound):
        connector.plan('extend', properties)
    assert 'log in' in str(connector.plan('attach', properties)[0])
    info = connector.connect_volume(properties)
    before = host.snapshot()
    (detach,) = connector.plan('detach', properties, info)
    (extend,) = connector.plan('extend', properties)
    (attach,) = connector.plan('attach', properties)
    assert host.snapshot() == before
    verbs = [step.verb.value for step in detach.steps]
    assert verbs.index('flush') < verbs.index('remove map') < verbs.index('remove disks')
    assert [step.verb.value for step in extend.steps][:2] == ['read capacity'] * 2
    assert 'use session' in str(attach)
    assert 'log in' not in str(attach)


def test_a_protocol_that_decides_as_it_goes() -> None:
    properties = {'name': 'pool/image', 'hosts': ['10.0.0.1'], 'ports': ['6789']}
    with pytest.raises(NotImplementedError):
        RBDConnector(None).plan('attach', {**properties, 'auth_username': 'cinder'})
