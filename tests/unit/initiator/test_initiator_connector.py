# SPDX-License-Identifier: Apache-2.0
"""The interface of connectors, the default driver, and the fakes made from both."""

from collections.abc import Iterator
import io
import pathlib
from typing import Any

import pytest

from os_brick import exception, executor
from os_brick.core import files
from os_brick.initiator import host_driver, initiator_connector
from os_brick.initiator.connectors import base, base_iscsi, fake


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    with files.use(str(tmp_path)):
        yield tmp_path


def test_it_is_abstract() -> None:
    kind = initiator_connector.InitiatorConnector
    assert issubclass(kind, executor.Executor)
    assert kind.__abstractmethods__ == {
        'check_valid_device',
        'connect_volume',
        'disconnect_volume',
        'extend_volume',
        'get_all_available_volumes',
        'get_connector_properties',
        'get_search_path',
        'get_volume_paths',
    }
    assert (kind.platform, kind.os_type) == ('ALL', 'ALL')


def test_a_connector_takes_what_it_does_not_know() -> None:
    made = fake.FakeConnector(
        'helper', driver='driver', execute=len, device_scan_attempts=7, conn={}, x=1
    )
    assert made.driver == 'driver'
    assert made.device_scan_attempts == 7
    assert made._root_helper == 'helper'
    made.set_driver('other')
    assert made.driver == 'other'


def test_the_fake() -> None:
    made = fake.FakeConnector(None)
    assert isinstance(made, base.BaseLinuxConnector)
    assert isinstance(made.driver, host_driver.HostDriver)
    assert made.connect_volume({}) == {'type': 'fake', 'path': '/dev/vdFAKE'}
    assert made.get_volume_paths({}) == ['/dev/vdFAKE']
    assert made.get_search_path() == '/dev/disk/by-path'
    assert made.extend_volume({}) is None
    assert len(made.get_all_available_volumes()) == 2
    made.disconnect_volume({}, None, force=True, ignore_errors=True)


def test_handles() -> None:
    made = fake.FakeConnector(None)
    made.check_IO_handle_valid(None, io.BytesIO, 'RBD')
    made.check_IO_handle_valid(io.BytesIO(), io.BytesIO, 'RBD')
    with pytest.raises(exception.InvalidIOHandleObject, match=r'RBD.*str'):
        made.check_IO_handle_valid('x', io.BytesIO, 'RBD')


def test_the_driver_lists_udevs_links(root: pathlib.Path) -> None:
    driver = host_driver.HostDriver()
    assert driver.get_all_block_devices() == []
    (root / 'dev/disk/by-path').mkdir(parents=True)
    (root / 'dev/disk/by-path/pci-1').touch()
    assert driver.get_all_block_devices() == ['/dev/disk/by-path/pci-1']


SINGLE = {'target_portal': 'p', 'target_iqn': 'i', 'target_lun': 5}
PLURAL = {'target_portals': ['p1', 'p2'], 'target_iqns': ['i1', 'i2']}


class TestTargets:
    @pytest.mark.parametrize(
        ('props', 'targets'),
        [
            (SINGLE, [('p', 'i', 5)]),
            ({'target_portal': 'p', 'target_iqn': 'i'}, [('p', 'i', 0)]),
            ({**PLURAL, 'target_luns': [1, 2]}, [('p1', 'i1', 1), ('p2', 'i2', 2)]),
            ({**PLURAL, 'target_lun': 7}, [('p1', 'i1', 7), ('p2', 'i2', 7)]),
            ({**PLURAL, 'target_luns': [1]}, [('p1', 'i1', 1)]),
            ({**SINGLE, 'target_portals': ['x']}, [('p', 'i', 5)]),
        ],
    )
    def test_all(self, props: Any, targets: Any) -> None:
        assert fake.FakeBaseISCSIConnector(None)._get_all_targets(props) == targets

    @pytest.mark.parametrize('props', [{}, {'target_iqn': 'i'}, PLURAL])
    def test_none(self, props: Any) -> None:
        with pytest.raises(KeyError):
            fake.FakeBaseISCSIConnector(None)._get_all_targets(props)

    def test_each_has_properties_of_its_own(self) -> None:
        props = {**PLURAL, 'target_luns': [1, 2], 'more': {'x': []}}
        made = list(fake.FakeBaseISCSIConnector(None)._iterate_all_targets(props))
        assert made[1] == {
            'target_portal': 'p2',
            'target_iqn': 'i2',
            'target_lun': 2,
            'more': {'x': []},
        }
        assert made[1]['more']['x'] is not props['more']['x']  # type: ignore[call-overload, index]
        assert len(props) == 4

    def test_luns(self) -> None:
        get = base_iscsi.BaseISCSIConnector._get_luns
        assert get({'target_lun': 3}, ['a', 'b']) == [3, 3]
        assert get({'target_lun': 3, 'target_iqns': ['a']}) == [3]
        assert get({'target_luns': [1, 2], 'target_lun': 3}) == [1, 2]
        with pytest.raises(KeyError):
            get({'target_lun': 3})
