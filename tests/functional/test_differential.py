# SPDX-License-Identifier: Apache-2.0
"""Side by side with the reference, os-brick 7.1.1, in a process of its own: what both return.

``test_upgrade`` has what one does with volumes that the other has attached.
"""

import re

import pytest

from tests.functional import lab, support

pytestmark = [pytest.mark.reference, pytest.mark.leaves('wwid')]

# Not over discovered portals: there the reference loses its own map in the extend now and then.
CASES = {
    'single': (False, 1, False, {}),
    'single-plural': (False, 2, True, {}),
    'multipath': (True, 4, True, {}),
    'encrypted': (False, 1, False, {'encrypted': True}),
    'encrypted-multipath': (True, 2, True, {'encrypted': True}),
    'text-keys': (True, 2, True, {'addressing_mode': 'SAM', 'target_luns': ['1', '1']}),
}


@pytest.fixture
def reference(reference_nursery, clean_host):
    """A process of the reference whose connector is yet to be made."""
    worker = reference_nursery.spawn()
    yield worker
    worker.close()


def shape(info):
    """The answer, with kernel names that may differ from one attach to the next made equal."""
    path = re.sub(r'sd[a-z]+', 'sdX', re.sub(r'dm-\d+', 'dm-N', info['path']))
    return {**info, 'path': path}


@pytest.mark.parametrize('case', CASES)
def test_same_answer(shelf, multipathd, reference, case):
    """For the same volume the returned dictionary equals the reference's; so do the paths and
    the size after growing."""
    multipath, portals, plural, more = CASES[case]
    multipathd(find_multipaths='no' if multipath else 'strict')
    volume = support.stamped(shelf, 'same')
    target = shelf.target('same', portals)
    target.map(1, volume)
    props = target.properties(1, plural=plural, **more)
    reference.make(multipath=multipath)
    theirs = reference.call('connect_volume', props)
    lab.shell.settle()
    their_paths = reference.call('get_volume_paths', props)
    their_size = _detached_grown(reference, volume, props, theirs, 40)
    ours = lab.bricks.ours(multipath=multipath)
    mine = ours.connect_volume(props)
    lab.shell.settle()
    my_paths = ours.get_volume_paths(props)
    volume.grow(48)
    my_size = ours.extend_volume({**props, 'device_path': mine['path']})
    ours.disconnect_volume(props, mine)
    assert shape(mine) == shape(theirs)
    assert sorted(my_paths) == sorted(their_paths)
    assert (their_size, my_size) == (40 << 20, 48 << 20)


def _detached_grown(worker, volume, props, info, megabytes):
    volume.grow(megabytes)
    size = worker.call('extend_volume', {**props, 'device_path': info['path']})
    worker.call('disconnect_volume', props, info)
    return size


def test_same_connector_properties(reference):
    """get_connector_properties: the keys that iSCSI and the base give are the same."""
    from os_brick.initiator import connector

    theirs = reference.properties(multipath=True)
    mine = connector.get_connector_properties(None, '10.0.0.1', True, False)
    keys = ('platform', 'os_type', 'ip', 'host', 'multipath', 'enforce_multipath', 'initiator')
    assert {key: mine[key] for key in keys} == {key: theirs[key] for key in keys}
