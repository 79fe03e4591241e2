# SPDX-License-Identifier: Apache-2.0
"""Volumes that are here already: local devices, and files and devices of GPFS."""

import pathlib
import time
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.host import block
from os_brick.initiator.connectors import gpfs, local
from tests.unit.fakehost import tree as fake_tree

EITHER = pytest.mark.parametrize(
    ('kind', 'name'), [(local.LocalConnector, 'local'), (gpfs.GPFSConnector, 'gpfs')]
)
PROPS = {'device_path': '/dev/vg/lv'}


@EITHER
def test_attach_tells_where_it_is(kind: Any, name: str) -> None:
    brick = kind(None, use_multipath=True, device_scan_attempts=3, unknown=1)
    info = brick.connect_volume(PROPS)
    assert info == {'type': name, 'path': '/dev/vg/lv'}
    assert brick.get_volume_paths(PROPS) == ['/dev/vg/lv']
    brick.disconnect_volume(PROPS, info)
    brick.disconnect_volume({}, None, force=True, ignore_errors=True)


@EITHER
def test_it_says_nothing_of_the_host(kind: Any, name: str) -> None:
    brick = kind(None)
    assert kind.get_connector_properties(None, multipath=True, enforce_multipath=True) == {}
    assert brick.get_search_path() is None
    assert brick.get_all_available_volumes() == []


@EITHER
@pytest.mark.parametrize('props', [{}, {'device_path': None}, {'device_path': ''}])
def test_a_missing_path_is_named(kind: Any, name: str, props: dict[str, Any]) -> None:
    brick = kind(None)
    for method in (brick.connect_volume, brick.get_volume_paths, brick.extend_volume):
        with pytest.raises(ValueError, match='device_path'):
            method(props)


@EITHER
@pytest.mark.parametrize('path', [5, ['/dev/x'], '/dev/a\0b'])
def test_what_is_no_path_is_shown(kind: Any, name: str, path: Any) -> None:
    brick = kind(None)
    for method in (brick.connect_volume, brick.get_volume_paths, brick.extend_volume):
        with pytest.raises(
            (ValueError, exception.InvalidParameterValue), match='is not a valid path'
        ) as e:
            method({'device_path': path})
        assert repr(path) in str(e.value)
    assert not brick.check_valid_device('/dev/a\0b')


@EITHER
def test_extend_tells_the_size_now(kind: Any, name: str, tmp_path: pathlib.Path) -> None:
    tree = fake_tree.Tree(tmp_path)
    tree.file('/dev/dm-3')
    tree.link('/dev/vg/lv', '/dev/dm-3')
    tree.value('/sys/class/block/dm-3/size', 4096)
    with files.use(str(tmp_path)):
        assert kind(None).extend_volume(PROPS) == 2 << 20
        with pytest.raises(exception.VolumeDeviceNotFound, match='/dev/vg/other'):
            kind(None).extend_volume({'device_path': '/dev/vg/other'})


@EITHER
def test_an_extend_waits_for_a_path_no_longer_than_an_operation(
    kind: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lie on a share whose server has gone: a look at it cannot be ended."""
    monkeypatch.setattr(block, 'name_of', lambda _path: time.sleep(60))
    cfg.CONF.set_override('operation_timeout', 1, group='os_brick')
    begun = time.monotonic()
    try:
        with pytest.raises(exception.OperationTimedOut, match='/dev/vg/lv'):
            kind(None).extend_volume(PROPS)
    finally:
        cfg.CONF.clear_override('operation_timeout', group='os_brick')
    assert time.monotonic() - begun < 30
