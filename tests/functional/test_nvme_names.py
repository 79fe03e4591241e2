# SPDX-License-Identifier: Apache-2.0
"""NVMe subsystems and hosts whose names are not of the form nqn.YYYY-MM: Linux takes any."""

import pytest

from tests.functional import nvme_support, support

NAMES = [
    # Cinder's nvmet target names subsystems so.
    'nqn.nvme-subsystem-1-6f0c1c1e-2222-4333-8444-555566667777',
    'blktests-subsystem-1',
    'KK',
    'two words',
    'größe',
]


def served(shelf, name):
    """A volume with its stamp on it, as namespace 1 of a subsystem of this very name."""
    store = shelf.store('named')
    support.stamp(store)
    subsystem = shelf.subsystem(name)
    subsystem.map(1, store)
    return store, subsystem


@pytest.mark.parametrize('nqn', NAMES)
def test_subsystem(shelf, nvme, nqn):
    """Both shapes of properties: the right volume, and no controller afterwards."""
    store, subsystem = served(shelf, f'={nqn}')
    for shape, by in (('A', ('ns_id',)), ('B', ('volume_nguid',))):
        props = subsystem.properties(1, shape, by)
        info = nvme.connect_volume(props)
        support.assert_is(info['path'], store)
        bigger = store.grow(40 if shape == 'A' else 48)
        assert nvme.extend_volume(props) == bigger
        nvme.disconnect_volume(props, info)
        assert not nvme_support.controllers(subsystem)
