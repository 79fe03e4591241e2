# SPDX-License-Identifier: Apache-2.0
"""Questions that change nothing: connector properties, paths, valid devices."""

import os

import pytest

from tests.functional import lab, support


def test_connector_properties(library):
    """get_connector_properties has the initiator's name and echoes what multipath was asked."""
    from os_brick.initiator import connector

    props = connector.get_connector_properties(None, '10.0.0.1', True, False)
    assert props['initiator'] == lab.daemons.INITIATOR
    assert (props['multipath'], props['enforce_multipath']) == (True, False)
    assert props['ip'] == '10.0.0.1'


@pytest.mark.leaves('multipathd')
def test_connector_properties_without_multipathd(library):
    """It does not fail when multipathd is down, even when multipath is to be enforced."""
    from os_brick.initiator import connector

    lab.daemons.stop_multipathd()
    try:
        props = connector.get_connector_properties(None, '10.0.0.1', True, True)
    finally:
        lab.daemons.start_multipathd()
    assert (props['multipath'], props['enforce_multipath']) == (True, True)


def test_no_initiator_name(library):
    """Without an initiator's name there is no such key."""
    from os_brick.initiator import connector

    path = lab.daemons.INITIATOR_NAME
    old = path.read_text()
    path.unlink()
    try:
        props = connector.get_connector_properties(None, '10.0.0.1', False, False)
    finally:
        path.write_text(old)
    assert 'initiator' not in props


@pytest.mark.parametrize('multipath', [False, True])
def test_paths(shelf, multipath):
    """get_volume_paths, get_search_path, get_all_available_volumes and check_valid_device,
    before, during and after an attachment."""
    volume = support.stamped(shelf, 'paths')
    target = shelf.target('paths', 2)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    props = target.properties(1, plural=True)
    assert connector.get_volume_paths(props) == []
    assert connector.get_search_path() == '/dev/disk/by-path'
    info = connector.connect_volume(props)
    support.wait_disks(info['path'], 2 if multipath else 1)
    lab.shell.settle()
    paths = connector.get_volume_paths(props)
    disks = set(support.disks_of(info['path']))
    assert len(paths) == len(disks)
    assert {support.node(path) for path in paths} == disks
    assert all(target.iqn in path for path in paths)
    assert set(paths) <= set(connector.get_all_available_volumes())
    assert connector.check_valid_device(info['path'])
    connector.disconnect_volume(props, info)
    assert connector.get_volume_paths(props) == []
    assert not connector.check_valid_device('/dev/no-such-device')


def test_unreadable_device_is_not_valid(shelf, clean_host):
    """check_valid_device is about reading, not about being there."""
    volume = shelf.volume('invalid', layer='error')
    path = f'/dev/mapper/labstore-{volume.name}'
    assert os.path.exists(path)
    assert not lab.bricks.ours().check_valid_device(path)


def test_questions_start_no_session(shelf, multi):
    """The questions log in to nothing and discover nothing."""
    target = shelf.target('quiet', 1)
    props = target.properties(1)
    with lab.programs.Recorder() as recorder:
        assert multi.get_volume_paths(props) == []
        multi.get_all_available_volumes()
    assert support.session_count(target.iqn) == 0
    assert recorder.ours() == []
