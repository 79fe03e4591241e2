# SPDX-License-Identifier: Apache-2.0
"""The factory, the mapping, the properties of this host, the names that are bound."""

import importlib
import inspect
import platform
import socket
import sys
from typing import Any

import pytest

import os_brick
from os_brick import exception, initiator
from os_brick.initiator import connector, initiator_connector

BASE = 'os_brick.initiator.connectors.'
ISCSI = f'{BASE}iscsi.ISCSIConnector'
FC = f'{BASE}fibre_channel'
REMOTEFS = f'{BASE}remotefs.RemoteFsConnector'

# protocol: on other machines, on s390x, on ppc64
MAPPING = {
    'ISCSI': (ISCSI, ISCSI, ISCSI),
    'ISER': (ISCSI, None, ISCSI),
    'FIBRE_CHANNEL': (
        f'{FC}.FibreChannelConnector',
        f'{FC}_s390x.FibreChannelConnectorS390X',
        f'{FC}_ppc64.FibreChannelConnectorPPC64',
    ),
    'LOCAL': (f'{BASE}local.LocalConnector',) * 3,
    'GPFS': (f'{BASE}gpfs.GPFSConnector',) * 3,
    'RBD': (f'{BASE}rbd.RBDConnector',) * 3,
    'NFS': (REMOTEFS,) * 3,
    'VZSTORAGE': (REMOTEFS, None, REMOTEFS),
    'GLUSTERFS': (REMOTEFS, None, None),
    'SCALITY': (REMOTEFS, None, None),
    'QUOBYTE': (REMOTEFS, None, None),
    'HUAWEISDSHYPERVISOR': (f'{BASE}huawei.HuaweiStorHyperConnector', None, None),
    'SCALEIO': (f'{BASE}scaleio.ScaleIOConnector', None, None),
    'VMDK': (f'{BASE}vmware.VmdkConnector', None, None),
    'STORPOOL': (f'{BASE}storpool.StorPoolConnector', None, None),
    'NVME': (f'{BASE}nvmeof.NVMeOFConnector', None, None),
    'NVMEOF': (f'{BASE}nvmeof.NVMeOFConnector', None, None),
    'LIGHTOS': (f'{BASE}lightos.LightOSConnector', None, None),
}
MACHINES = {'x86_64': 0, 'aarch64': 0, 's390': 1, 's390x': 1, 'ppc64': 2, 'ppc64le': 2}


@pytest.mark.parametrize('machine', MACHINES)
def test_mapping(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    column = MACHINES[machine]
    expected = {name: row[column] for name, row in MAPPING.items() if row[column]}
    assert connector.get_connector_mapping(machine) == expected
    monkeypatch.setattr(platform, 'machine', lambda: machine)
    assert connector.get_connector_mapping() == expected


def test_the_list_of_classes() -> None:
    names = [path.rpartition('.')[2] for path in connector.unix_connector_list]
    assert names == [
        'BaseLinuxConnector',
        'ISCSIConnector',
        'FibreChannelConnector',
        'FibreChannelConnectorS390X',
        'FibreChannelConnectorPPC64',
        'RemoteFsConnector',
        'RBDConnector',
        'LocalConnector',
        'GPFSConnector',
        'HuaweiStorHyperConnector',
        'ScaleIOConnector',
        'VmdkConnector',
        'StorPoolConnector',
        'NVMeOFConnector',
        'LightOSConnector',
    ]
    assert isinstance(connector.unix_connector_list, list)


@pytest.mark.parametrize('path', connector.unix_connector_list)
def test_each_class_is_bound_and_has_what_consumers_patch(path: str) -> None:
    module, _dot, name = path.rpartition('.')
    kind = getattr(importlib.import_module(module), name)
    assert getattr(connector, name) is kind
    assert issubclass(kind, initiator_connector.InitiatorConnector)
    for method in (
        'connect_volume',
        'disconnect_volume',
        'extend_volume',
        'check_valid_device',
        'get_volume_paths',
        'get_search_path',
        'get_all_available_volumes',
        'get_connector_properties',
    ):
        assert callable(getattr(kind, method))


def test_submodules_are_attributes() -> None:
    assert os_brick.initiator.connectors.iscsi.ISCSIConnector is connector.ISCSIConnector  # type: ignore[attr-defined]
    assert os_brick.constants.SCSI_ADDRESSING_SAM2 == 'SAM2'


class Made:
    """What the factory makes in these tests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in set(connector.get_connector_mapping('x86_64').values()):
        module, _dot, name = path.rpartition('.')
        monkeypatch.setattr(importlib.import_module(module), name, Made)


@pytest.mark.usefixtures('made')
class TestFactory:
    @pytest.mark.parametrize('protocol', ['iscsi', 'ISCSI', 'iScsi'])
    def test_passes_everything_on(self, protocol: str) -> None:
        one = connector.InitiatorConnector.factory(
            protocol, 'helper', 'driver', True, 7, 'x86_64', 1, 2, conn={'data': {}}, x=None
        )
        assert one.args == (1, 2)
        assert one.kwargs == {
            'root_helper': 'helper',
            'driver': 'driver',
            'use_multipath': True,
            'device_scan_attempts': 7,
            'conn': {'data': {}},
            'x': None,
        }

    def test_defaults(self) -> None:
        one = connector.InitiatorConnector.factory('RBD', None, arch='x86_64')
        assert one.kwargs == {
            'root_helper': None,
            'driver': None,
            'use_multipath': False,
            'device_scan_attempts': 3,
        }

    @pytest.mark.parametrize('protocol', ['nfs', 'glusterfs', 'scality', 'quobyte', 'vzstorage'])
    def test_file_systems_are_told_their_type(self, protocol: str) -> None:
        one = connector.InitiatorConnector.factory(protocol.upper(), None, arch='x86_64')
        assert one.kwargs['mount_type'] == protocol

    def test_iser_wins_over_the_transport_of_the_caller(self) -> None:
        factory = connector.InitiatorConnector.factory
        assert factory('iser', None, transport='tcp', arch='x86_64').kwargs['transport'] == 'iser'
        assert factory('iscsi', None, transport='tcp', arch='x86_64').kwargs['transport'] == 'tcp'
        assert 'transport' not in factory('iscsi', None, arch='x86_64').kwargs


@pytest.mark.parametrize(('protocol', 'arch'), [('foo', None), ('ISER', 's390x')])
def test_an_unknown_protocol(protocol: str, arch: str | None) -> None:
    with pytest.raises(exception.InvalidConnectorProtocol, match=protocol):
        connector.InitiatorConnector.factory(protocol, None, arch=arch)


@pytest.mark.parametrize('path', connector.unix_connector_list[1:])
def test_each_class_can_be_made(path: str) -> None:
    assert not inspect.isabstract(getattr(connector, path.rpartition('.')[2]))


class TestProperties:
    @pytest.fixture(autouse=True)
    def _no_probes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have each connector but the base say nothing, whatever it is later on."""
        for path in connector.unix_connector_list[1:]:
            kind = getattr(connector, path.rpartition('.')[2])
            monkeypatch.setattr(
                kind, 'get_connector_properties', staticmethod(lambda *_a, **_k: {})
            )

    @staticmethod
    def _say(monkeypatch: pytest.MonkeyPatch, kind: Any, answer: Any) -> list[Any]:
        calls: list[Any] = []

        def get(*args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(kind, 'get_connector_properties', staticmethod(get))
        return calls

    def test_of_this_host(self) -> None:
        assert connector.get_connector_properties('helper', '10.0.0.1', True, False) == {
            'platform': platform.machine(),
            'os_type': sys.platform,
            'ip': '10.0.0.1',
            'host': socket.gethostname(),
            'multipath': True,
            'enforce_multipath': False,
        }

    def test_all_are_asked_the_same_and_the_later_wins(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = self._say(monkeypatch, connector.NVMeOFConnector, {'nqn': 'a', 'uuid': 'u'})
        self._say(monkeypatch, connector.LightOSConnector, {'nqn': 'b'})
        found = connector.get_connector_properties('helper', 'ip', True, False, 'me', execute=len)
        assert (found['nqn'], found['uuid'], found['host']) == ('b', 'u', 'me')
        assert calls == [
            (
                ('helper',),
                {'host': 'me', 'multipath': True, 'enforce_multipath': False, 'execute': len},
            )
        ]

    def test_other_machines_are_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = self._say(monkeypatch, connector.FibreChannelConnectorS390X, {'x': 1})
        assert 'x' not in connector.get_connector_properties(None, 'ip', False, False)
        assert calls == []

    def test_one_that_fails_leaves_the_others(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self._say(monkeypatch, connector.ISCSIConnector, OSError('no tool'))
        self._say(monkeypatch, connector.RBDConnector, {'do_local_attach': False})
        found = connector.get_connector_properties(None, 'ip', False, False)
        assert found['do_local_attach'] is False
        assert caplog.messages == [
            'ISCSIConnector failed to report its connector properties, which are left out: no tool'
        ]

    def test_a_wrong_input_is_for_the_caller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = exception.InvalidParameterValue(err='x')
        self._say(monkeypatch, connector.ISCSIConnector, wrong)
        with pytest.raises(exception.InvalidParameterValue):
            connector.get_connector_properties(None, 'ip', False, False)


@pytest.mark.parametrize(
    'name',
    ['ISCSI', 'ISER', 'FIBRE_CHANNEL', 'NFS', 'SMBFS', 'GLUSTERFS', 'LOCAL', 'RBD', 'SCALEIO',
     'HUAWEISDSHYPERVISOR', 'SCALITY', 'QUOBYTE', 'VZSTORAGE', 'VMDK', 'GPFS', 'STORPOOL',
     'NVME', 'NVMEOF', 'LIGHTOS'],
)  # fmt: skip
def test_names_of_protocols(name: str) -> None:
    assert getattr(initiator, name) == name


@pytest.mark.parametrize(
    ('line', 'matches'),
    [('Jan 01 12:30:00 | sdb: no path', True), ('mpatha (3600) dm-0 LIO', False)],
)
def test_multipath_error(line: str, matches: bool) -> None:
    assert bool(initiator.MULTIPATH_ERROR_REGEX.match(line)) is matches


def test_multipath_path() -> None:
    assert initiator.MULTIPATH_PATH_CHECK_REGEX.search('| `- 3:0:0:1 sdb')
    assert not initiator.MULTIPATH_PATH_CHECK_REGEX.search('3:0:0 sdb')
