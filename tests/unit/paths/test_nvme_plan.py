# SPDX-License-Identifier: Apache-2.0
"""What an attach of a namespace would do, by the connector; nothing of it is done."""

from collections.abc import Iterator
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.initiator.connectors import nvmeof
from os_brick.plans import nvme_attach
from tests.unit.fakehost import network, nvme

PSK = 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
SECRET = f'DHHC-1:00:{"s" * 48}:'


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.StrikingFabric]:
    with nvme.striking(tmp_path, native=request.param) as found:
        yield found


class Stage:
    """A subsystem with two portals and one volume."""

    def __init__(self, fabric: nvme.StrikingFabric, *, multipath: bool = True) -> None:
        self.fabric = fabric
        self.subsystem = fabric.subsystem('one', portals=2)
        self.volume = self.subsystem.namespaces[1] = nvme.Volume('gold')
        self.brick = nvmeof.NVMeOFConnector(None, use_multipath=multipath)
        self.several = multipath and fabric.native

    @property
    def contents(self) -> dict[str, bytes]:
        """What is in every file; what is read at a pipe would be taken out of it."""
        self.fabric.settle()
        root = self.fabric.root
        return {each: root.joinpath(each).read_bytes() for each in self.fabric.snapshot()}

    def plan(self, **more: Any) -> dict[str, Any]:
        """The plan, for which nothing was changed and no device was asked."""
        before, calls = self.contents, self.fabric.acts
        (found,) = self.brick.plan('attach', self.subsystem.properties(1, **more))
        assert self.contents == before
        assert self.fabric.acts == calls
        return found.as_dict()


def verbs(plan: dict[str, Any]) -> list[str]:
    return [step['verb'] for step in plan['steps']]


@pytest.fixture(params=[True, False], ids=['several', 'one'])
def stage(fabric: nvme.StrikingFabric, request: pytest.FixtureRequest) -> Stage:
    return Stage(fabric, multipath=request.param)


def test_nothing_is_there(stage: Stage) -> None:
    last = 'wait until it can be read' if stage.several else 'use the first path by which it can'
    found = stage.plan()
    assert verbs(found)[:-1] == ['connect', 'find namespace'] * 2
    assert verbs(found)[-1].startswith(last)
    assert found['now'][-1] == 'namespace is not behind these portals yet'
    assert sum('no controller' in line for line in found['now']) == 2
    assert found['could']


def test_a_path_is_there(stage: Stage) -> None:
    """Without multipath the path that is open comes first, as in the attach."""
    second = max(stage.subsystem.portals)
    name = stage.fabric.by_hand(stage.subsystem, second)
    found = stage.plan()
    used = [step for step in found['steps'] if step['verb'] == 'use controller']
    assert [(step['controller'], second in step['path']) for step in used] == [(name, True)]
    assert used[0]['number'] > 0
    assert verbs(found).index('use controller') == (2 if stage.several else 0)
    assert any(f'{name} is live' in line for line in found['now'])
    head = stage.fabric.head(name, 1)
    assert found['now'][-1] == (
        f'namespace is here: /dev/{head} (uuid.{stage.volume.uuid}) behind {name}'
    )


def test_what_was_planned_is_what_is_done(stage: Stage) -> None:
    planned = verbs(stage.plan())
    info = stage.brick.connect_volume(stage.subsystem.properties(1))
    again = stage.plan()
    assert planned.count('connect') == 2
    made = len(stage.fabric.controllers)
    assert verbs(again).count('use controller') == made
    assert verbs(again).count('connect') == 2 - made
    assert info['path'] in again['now'][-1]


def test_a_host_without_names_and_without_the_module(stage: Stage) -> None:
    for each in ('etc/nvme/hostnqn', 'etc/nvme/hostid', 'dev/nvme-fabrics'):
        (stage.fabric.root / each).unlink()
    found = stage.plan()
    assert verbs(found)[:3] == ['load module', 'make name', 'make ID']
    assert all('stays' in step['else'] for step in found['steps'][:3])
    assert any(nvme.HOST in line for line in found['now'])  # As it would be made.


def test_a_file_without_this_hosts_name(stage: Stage) -> None:
    stage.fabric.file('/etc/nvme/hostnqn', 'a,b')
    with pytest.raises(exception.BrickException, match='hostnqn'):
        stage.plan()
    caller = 'nqn.2026-11.org.lab:caller'
    found = stage.plan(host_nqn=caller)
    assert 'make name' not in verbs(found)
    assert any(caller in line for line in found['now'])


def test_secrets_are_not_told(stage: Stage) -> None:
    portals = [(each, '4420', 'tcp') for each in sorted(stage.subsystem.portals)]
    found = stage.plan(dhchap_secret=SECRET, tls_psk=PSK, portals=portals)
    assert verbs(found).count('ask portal') == 2
    assert SECRET not in repr(found)
    assert PSK not in repr(found)
    assert any('does not accept the secret' in line for line in found['could'])


def test_a_connection_without_tls_where_tls_is_wanted(fabric: nvme.StrikingFabric) -> None:
    stage = Stage(fabric)
    stage.subsystem.portals = {'127.0.0.1'}
    stage.subsystem.port = network.listen('127.0.0.1')
    try:
        portals = [('127.0.0.1', stage.subsystem.port, 'tcp')]
        assert verbs(stage.plan(portals=portals))[0] == 'ask portal'
        stage.brick.connect_volume(stage.subsystem.properties(1, portals=portals))
        found = stage.plan(portals=portals, tls_psk=PSK)
    finally:
        network.close('127.0.0.1', stage.subsystem.port)
    assert any('live, without TLS' in line for line in found['now'])
    assert any('nvme0 is connected without TLS' in line for line in found['could'])


def test_enforced_multipath(fabric: nvme.StrikingFabric) -> None:
    stage = Stage(fabric)
    if not fabric.native:
        with pytest.raises(exception.BrickException, match='enforced'):
            stage.plan(enforce_multipath=True)
        return
    assert any('fewer than 2' in line for line in stage.plan(enforce_multipath=True)['could'])


def test_what_comes_after_the_paths(fabric: nvme.StrikingFabric) -> None:
    stage = Stage(fabric)
    cfg.CONF.set_override('nvmeof_io_policy', 'round-robin', group='os_brick')
    try:
        found = verbs(stage.plan(encrypted=True))
    finally:
        cfg.CONF.clear_override('nvmeof_io_policy', group='os_brick')
    assert found[-1] == 'make link'
    assert ('set I/O policy' in found) is fabric.native


def test_a_mirror_has_the_steps_of_its_members_and_of_its_array(
    fabric: nvme.StrikingFabric,
) -> None:
    stage = Stage(fabric)
    (fabric.root / 'etc/nvme/hostnqn').unlink()
    replica = {**stage.subsystem.properties(1), 'replica_count': 1}
    props = {
        'vol_uuid': stage.volume.uuid,
        'alias': 'gold',
        'replica_count': 2,
        'volume_replicas': [replica, replica],
    }
    before, calls = stage.contents, fabric.acts
    (plan,) = stage.brick.plan('attach', {**props, 'encrypted': True})
    assert stage.contents == before
    assert fabric.acts == calls
    found = plan.as_dict()
    last = 'wait until it can be read' if stage.several else nvme_attach.Verb.USE_ONE
    each = [*['connect', 'find namespace'] * 2, last]
    array = ['read what members have on them', 'have array run', 'make link']
    # The name of the host is made once for both.
    assert verbs(found) == ['make name', *each * 2, *array]
    assert found['steps'][-2]['object'] == 'gold'
    assert any('an array is made of them, if there are 2' in line for line in found['could'])


def test_a_namespace_that_the_properties_do_not_tell_from_another(stage: Stage) -> None:
    stage.subsystem.namespaces[2] = nvme.Volume('silver')
    stage.fabric.by_hand(stage.subsystem, min(stage.subsystem.portals))
    found = stage.plan(vol_uuid=None)
    assert 'may be one of: /dev/' in found['now'][-1]
    assert sum('vol_uuid' in line for line in found['could']) == 1
