# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel side by side with the reference, os-brick 7.1.1, in a process of its own.

Both return udev's link to the device: a name that survives a reboot.
"""

import os

import pytest

from tests.functional import fc_support, lab, support

pytestmark = [pytest.mark.reference, pytest.mark.leaves('wwid')]


@pytest.fixture
def reference(reference_nursery, clean_host):
    """A process of the reference whose connector is yet to be made."""
    worker = reference_nursery.spawn()
    yield worker
    worker.close()


@pytest.mark.parametrize('multipath', [False, True])
def test_same_answer(shelf, fabric, reference, multipathd, multipath):
    """The same keys and identity, the same paths, the same size after growing. And an upgrade:
    we detach what the reference attached; and a downgrade, the other way round."""
    multipathd(find_multipaths='no' if multipath else 'strict')
    volume = fc_support.served(shelf, fabric, 'same')
    # With one path both have the same choice of disk.
    ours, theirs = fabric.initiators[0].wwpn, [fabric.targets[0].wwpn]
    one_path = {'target_wwn': theirs, 'initiator_target_map': {ours: theirs}}
    props = fabric.properties(1, **({} if multipath else one_path))
    before = support.disks()
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    reference.make('FIBRE_CHANNEL', multipath=multipath)
    info = reference.call('connect_volume', dict(props))
    lab.shell.settle()
    # It finds its paths (for its extend, too) only in what it has added to a copy of its own.
    added = [[name, 1] for name in (theirs if not multipath else props['target_wwn'])]
    paths = reference.call('get_volume_paths', {**props, 'targets': added})
    size = volume.grow(40)
    assert reference.call('extend_volume', dict(props)) == size
    connector.disconnect_volume(props, info)
    assert support.disks() == before

    mine = connector.connect_volume(props)
    support.wait_disks(mine['path'], 4 if multipath else 1)
    assert mine == info
    assert os.path.realpath(mine['path']).startswith('/dev/dm-' if multipath else '/dev/sd')
    lab.shell.settle()
    assert sorted(connector.get_volume_paths(props)) == sorted(paths)
    size = volume.grow(48)
    assert connector.extend_volume(props) == size
    if multipath:
        # The reference cannot: it gives `multipath -f` a link, which multipath-tools 0.11 refuses.
        connector.disconnect_volume(props, mine)
    else:
        reference.call('disconnect_volume', dict(props), mine)


def test_same_connector_properties(fabric, reference):
    """The names of this host's ports are the same."""
    from os_brick.initiator import connector

    theirs = reference.properties(multipath=True)
    mine = connector.get_connector_properties(None, '10.0.0.1', True, False)
    for key in ('wwpns', 'wwnns'):
        assert sorted(mine[key]) == sorted(theirs[key])
