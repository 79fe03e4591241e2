# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel side by side with the reference, os-brick 7.1.1, in a process of its own.

It returns links where we return the device itself; both lead to the same.
"""

import os

import pytest

from tests.functional import fc_support, lab, support

pytestmark = [pytest.mark.reference, pytest.mark.leaves('wwid')]
EITHER = pytest.mark.parametrize('multipath', [False, True])


@pytest.fixture
def reference(reference_nursery, clean_host):
    """A process of the reference whose connector is yet to be made."""
    worker = reference_nursery.spawn()
    yield worker
    worker.close()


@EITHER
def test_same_answer(shelf, fabric, reference, multipathd, multipath):
    """The same keys and identity; the same paths; the size after growing."""
    multipathd(find_multipaths='no' if multipath else 'strict')
    volume = fc_support.served(shelf, fabric, 'same')
    props = fabric.properties(1)
    reference.make('FIBRE_CHANNEL', multipath=multipath)
    theirs = reference.call('connect_volume', dict(props))
    lab.shell.settle()
    kind = os.path.basename(os.path.realpath(theirs['path']))[:2]
    reference.call('disconnect_volume', dict(props), theirs)
    lab.shell.settle()
    ours = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    mine = ours.connect_volume(props)
    assert {k: v for k, v in mine.items() if k != 'path'} == {
        k: v for k, v in theirs.items() if k != 'path'
    }
    assert os.path.basename(mine['path'])[:2] == kind
    bigger = volume.grow(48)
    assert ours.extend_volume(props) == bigger
    ours.disconnect_volume(props, mine)


@EITHER
def test_ours_detaches_what_the_reference_attached(shelf, fabric, reference, multipath):
    """An upgrade of the library."""
    fc_support.served(shelf, fabric, 'handover')
    props = fabric.properties(1)
    reference.make('FIBRE_CHANNEL', multipath=multipath)
    info = reference.call('connect_volume', dict(props))
    support.read(info['path'])
    lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath).disconnect_volume(props, info)


def test_the_reference_detaches_what_we_attached(shelf, fabric, reference):
    """And a downgrade."""
    fc_support.served(shelf, fabric, 'back')
    props = fabric.properties(1)
    info = lab.bricks.ours('FIBRE_CHANNEL', multipath=True).connect_volume(props)
    support.wait_legs(info['path'], 4)
    lab.shell.settle()
    reference.make('FIBRE_CHANNEL', multipath=True)
    reference.call('disconnect_volume', dict(props), info)


def test_same_connector_properties(fabric, reference):
    """The names of this host's ports are the same, in the same order."""
    from os_brick.initiator import connector

    theirs = reference.properties(multipath=True)
    mine = connector.get_connector_properties(None, '10.0.0.1', True, False)
    for key in ('wwpns', 'wwnns'):
        assert sorted(mine[key]) == sorted(theirs[key])
