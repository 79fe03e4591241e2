# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: what the kernel has at a namespace's place, and names that are used again."""

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support


def test_identity_that_another_subsystem_has(shelf, nvme, options):
    """Linux ignores the second of two namespaces with one UUID: the error names the first, which
    stays as it is, and nothing is left."""
    options(scan_timeout=2)
    store, subsystem = nvme_support.served(shelf, 'first')
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    twin = shelf.store('twin', uuid=store.uuid, nguid=store.nguid)
    second = shelf.subsystem('second')
    second.map(1, twin)
    kept = nvme_support.controllers(subsystem)
    for _again in range(2):
        with pytest.raises(exception.VolumeDeviceNotFound) as caught:
            nvme.connect_volume(second.properties(1))
        assert info['path'] in str(caught.value)
        assert subsystem.nqn in str(caught.value)
        assert not nvme_support.controllers(second)
    assert nvme_support.controllers(subsystem) == kept
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)


def test_device_name_that_another_volume_has_by_now(shelf, nvme):
    """The caller has kept the name of its device and the number of its namespace. Both lead to
    another caller's volume now, which no call for the first one touches."""
    old, subsystem = nvme_support.served(shelf, 'kept')
    asked = subsystem.properties(1, by=('ns_id',))
    nvme.connect_volume(asked)
    nvme_support.disconnect_all(subsystem)  # As a reboot does: the caller knows nothing of it.
    new = shelf.store('taker', 48)
    support.stamp(new)
    subsystem.remap(1, new)
    props = subsystem.properties(1, by=('volume_nguid',))
    taken = nvme.connect_volume(props)
    kept = nvme_support.controllers(subsystem)
    for known in (taken, None):
        asked_again = {**asked, 'device_path': taken['path']}
        assert nvme.get_volume_paths(asked_again, known) == []
        with pytest.raises(exception.VolumePathsNotFound):
            nvme.extend_volume(asked_again)
        nvme.disconnect_volume(asked_again, known)
        assert nvme_support.controllers(subsystem) == kept
        support.assert_is(taken['path'], new)
    nvme.disconnect_volume(props, taken)
    assert old.size != new.size


@pytest.mark.parametrize('state', ['inaccessible', 'persistent-loss'])
def test_growth_beside_a_path_without_access(shelf, nvme, state):
    """The size is that of the path that takes I/O, and the volume is read through it."""
    store, subsystem = nvme_support.served(shelf, 'sized', 2)
    subsystem.ports[0].ana(state)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    try:
        bigger = store.grow(64, announce=False)
        assert nvme.extend_volume(props) == bigger
        support.assert_is(info['path'], store)
    finally:
        nvme.disconnect_volume(props, info)
        subsystem.ports[0].ana('optimized')


def test_attach_takes_the_size_that_the_subsystem_reports(shelf, nvme):
    """It has grown while the kernel was connected and was not told: what is handed out has the
    new size."""
    store, subsystem = nvme_support.served(shelf, 'unseen')
    lab.nvmet.connect(subsystem)
    bigger = store.grow(64, announce=False)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    name = support.node(info['path'])
    assert int(lab.shell.read(f'/sys/block/{name}/size')) * 512 == bigger
    nvme.disconnect_volume(props, info)
    nvme_support.disconnect_all(subsystem)
