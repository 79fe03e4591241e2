# SPDX-License-Identifier: Apache-2.0
"""What is reported of this host without a connector is what its class reports."""

from collections.abc import Iterator
import inspect
import pathlib
from typing import Any

from oslo_utils import importutils
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.initiator import connector, registry, reports
from tests.unit import seams
from tests.unit.fakehost import nvme

WANTED = {'host': 'me', 'multipath': True, 'enforce_multipath': False, 'execute': None}


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[nvme.Fabric]:
    """One that every protocol has something to say of."""
    with (
        nvme.configured(tmp_path) as root,
        process.use(seams.Programs({})),
        nvme.Fabric(root) as found,
    ):
        found.file('/usr/sbin/nvme', '')
        found.file('/etc/iscsi/initiatorname.iscsi', 'InitiatorName=iqn.2026-11.org.lab:me\n')
        port = '/sys/class/fc_host/host3'
        for name, value in {
            'port_name': '0x20000090fa942779',
            'node_name': '0x10000090fa942779',
            'port_state': 'Online',
        }.items():
            found.file(f'{port}/{name}', f'{value}\n')
        yield found


def test_every_class_has_its_row() -> None:
    """So a new protocol says whether it reports anything."""
    assert list(registry.REPORTS) == registry.classes()
    named = {each.rpartition('.')[2] for each in registry.REPORTS.values() if each}
    given = {
        name
        for name, each in vars(reports).items()
        if inspect.isfunction(each) and '_root_helper' in inspect.signature(each).parameters
    }
    assert named == given


@pytest.mark.parametrize('path', registry.classes())
def test_the_class_reports_the_same(host: nvme.Fabric, path: str) -> None:
    kind: Any = importutils.import_class(path)
    function = registry.REPORTS[path]
    found = importutils.import_class(function)(None, **WANTED) if function else {}
    of_class = kind.get_connector_properties(None, **WANTED)
    if 'FibreChannel' in path:  # Of the three, one speaks for all.
        found = reports.fibre_channel(None)
        assert found
    assert of_class == found


def test_all_at_once(host: nvme.Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether their classes are loaded or not."""
    asked = (None, '10.0.0.1', True, False, 'me')
    loaded = connector.get_connector_properties(*asked)
    assert {'initiator', 'wwpns', 'nqn', 'multipath', 'do_local_attach'} <= set(loaded)
    for path in registry.classes():
        monkeypatch.delitem(connector.sys.modules, path.rpartition('.')[0], raising=False)
    assert connector.get_connector_properties(*asked) == loaded


def test_a_class_that_another_has_put_in_place_is_asked(
    host: nvme.Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = connector.ISCSIConnector
    monkeypatch.setattr(kind, 'get_connector_properties', lambda *_, **__: {'initiator': 'other'})
    asked = (None, '10.0.0.1', True, False)
    assert connector.get_connector_properties(*asked)['initiator'] == 'other'


def test_one_that_fails_is_left_out(
    host: nvme.Fabric, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = 'os_brick.initiator.connectors.iscsi'
    monkeypatch.delitem(connector.sys.modules, path, raising=False)

    def broken(*_arguments: object, **_keywords: object) -> dict[str, Any]:
        raise exception.BrickException('it is broken')

    monkeypatch.setattr(reports, 'iscsi', broken)
    found = connector.get_connector_properties(None, '10.0.0.1', True, False)
    assert 'initiator' not in found
    assert 'nqn' in found
    assert 'ISCSIConnector failed to report its connector properties' in caplog.text
