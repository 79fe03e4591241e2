# SPDX-License-Identifier: Apache-2.0
"""Mapped images: found, mapped, asked, grown and unmapped; ``connectors/test_rbd`` has courses."""

from collections.abc import Iterator
import dataclasses
import pathlib

import pytest

from os_brick import exception
from os_brick.core import files, undo, wait
from os_brick.host import krbd
from os_brick.model import addresses, rbd_mark
from os_brick.model import rbd as model
from tests.unit.fakehost import ceph

IMAGE = model.Image('rbd', 'v1')


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        found.cluster().image('v1')
        yield found


@pytest.fixture
def steps(host: ceph.RbdHost) -> undo.Undo:
    return undo.Undo()


def soon() -> wait.Deadline:
    return wait.Deadline.after(30)


def source(cluster: ceph.Cluster, image: model.Image = IMAGE) -> krbd.Source:
    monitors = tuple(addresses.Portal.parse(each) for each in sorted(cluster.monitors))
    return krbd.Source(image, monitors, 'cinder', 'ceph', cluster.users['cinder'])


def map_one(host: ceph.RbdHost, steps: undo.Undo) -> model.Mapped:
    return krbd.map_image(source(host.clusters[0]), steps, soon(), 2.0)


def test_a_source_hides_its_secret(host: ceph.RbdHost) -> None:
    assert ceph.SECRET not in repr(source(host.clusters[0]))


def test_found_by_the_whole_name(host: ceph.RbdHost, steps: undo.Undo) -> None:
    found = map_one(host, steps)
    assert krbd.of_image(IMAGE) == [found]
    assert (found.name, found.fsid) == ('rbd0', host.clusters[0].fsid)
    for other in ('rbd/v2', 'other/v1', 'rbd/gold/v1', 'rbd/v1@s'):
        assert not krbd.of_image(model.Image.parse(other))
    assert krbd.is_there(found)
    krbd.unmap(found, soon(), force=False)
    assert not krbd.is_there(found)
    krbd.unmap(found, soon(), force=False)


def test_what_a_failed_attach_has_mapped_goes(host: ceph.RbdHost, steps: undo.Undo) -> None:
    kept = map_one(host, undo.Undo())
    map_one(host, steps)
    steps.__exit__(RuntimeError, RuntimeError(), None)
    assert krbd.of_image(IMAGE) == [kept]


def test_a_map_goes_by_its_mark_whatever_name_the_kernel_shows(
    host: ceph.RbdHost, steps: undo.Undo
) -> None:
    map_one(host, steps)
    assert krbd.device('rbd0') is not None
    assert krbd.device('rbd1') is None
    host.tree.file('/sys/bus/rbd/devices/0/name', 'other\n')
    steps.__exit__(RuntimeError, RuntimeError(), None)
    assert not host.rbd


def test_what_another_one_has_mapped_meanwhile_stays(host: ceph.RbdHost, steps: undo.Undo) -> None:
    map_one(host, steps)
    other = host.map_by_hand(host.clusters[0], 'v1').number
    steps.__exit__(RuntimeError, RuntimeError(), None)
    assert [each.number for each in krbd.of_image(IMAGE)] == [other]


@pytest.mark.parametrize('is_probe', [False, True])
def test_without_a_key_what_others_have_mapped_stays(
    host: ceph.RbdHost, steps: undo.Undo, is_probe: bool
) -> None:
    """An operator meanwhile, and another attach before this one or after it."""
    cluster = host.clusters[0]
    asked = dataclasses.replace(source(cluster), user='', secret='')
    cluster.users.clear()
    kept = [krbd.map_image(asked, undo.Undo(), soon(), 2.0)]
    if is_probe:
        host.rbd[kept[0].number].is_open = True
        krbd.learn_identity(asked, steps, soon(), 2.0)
    else:
        krbd.map_image(asked, steps, soon(), 2.0)
    by_hand = host.map_by_hand(cluster, 'v1').number
    kept.append(krbd.map_image(asked, undo.Undo(), soon(), 2.0))
    steps.__exit__(RuntimeError, RuntimeError(), None)
    numbers = sorted([by_hand, *(each.number for each in kept)])
    assert [each.number for each in krbd.of_image(IMAGE)] == numbers


def test_a_probe_without_a_key_of_a_killed_process_goes(
    host: ceph.RbdHost, steps: undo.Undo
) -> None:
    cluster = host.clusters[0]
    cluster.users.clear()
    by_hand = host.map_by_hand(cluster, 'v1').number
    blanks = rbd_mark.blanks_of(krbd.new_mark(probe=True))
    number = host.map_by_hand(cluster, 'v1').number
    host.rbd[number].told = f'10.0.0.1:6789 mount_timeout=30,ro rbd v1{blanks}-'
    host.show(host.rbd[number])
    krbd.sweep_probes(IMAGE, soon())
    assert list(host.rbd) == [by_hand]


def test_a_probe_leaves_nothing(host: ceph.RbdHost, steps: undo.Undo) -> None:
    found = map_one(host, steps)
    assert krbd.learn_identity(source(host.clusters[0]), steps, soon(), 2.0) == found.identity
    assert host.rbd[0].number == 0
    assert len(host.rbd) == 1
    assert ',ro ' in host.written[1]


def test_a_probe_of_a_killed_process_goes(host: ceph.RbdHost, steps: undo.Undo) -> None:
    cluster = host.clusters[0]
    found = map_one(host, steps)
    number = host.map_by_hand(cluster, 'v1').number
    host.rbd[number].told = f'10.0.0.1:6789 name=cinder,key={krbd.new_mark(probe=True)},ro rbd v1 -'
    host.show(host.rbd[number])
    krbd.sweep_probes(IMAGE, soon())
    assert krbd.of_image(IMAGE) == [found]


def test_in_use_by_what_is_built_on_it(host: ceph.RbdHost, steps: undo.Undo) -> None:
    found = map_one(host, steps)
    host.tree.directory('/sys/devices/rbd/0/block/rbd0/holders/dm-7')
    with pytest.raises(exception.VolumeInUse, match='dm-7'):
        krbd.unmap(found, soon(), force=False)
    assert krbd.is_there(found)


def test_growth(host: ceph.RbdHost, steps: undo.Undo) -> None:
    found = map_one(host, steps)
    host.clusters[0].images['rbd', '', 'v1'].size = 1 << 30
    assert krbd.grow(found, soon()) == 1 << 30
    host.clusters[0].hung = True
    with pytest.raises(exception.OperationTimedOut):
        krbd.grow(found, soon())
    host.forget(host.rbd[0])
    with pytest.raises(exception.VolumePathsNotFound):
        krbd.grow(found, soon())


@pytest.mark.parametrize('size', [1 << 30, (1 << 30) + 100])
def test_growth_in_whole_sectors(host: ceph.RbdHost, steps: undo.Undo, size: int) -> None:
    found = map_one(host, steps)
    host.clusters[0].images['rbd', '', 'v1'].size = size
    assert krbd.grow(found, soon()) == 1 << 30


@pytest.mark.parametrize('has_gone', [False, True])
def test_growth_that_does_not_reach_the_device(
    host: ceph.RbdHost, steps: undo.Undo, has_gone: bool
) -> None:
    """The size of before is not the volume's, and neither is that of a device that has gone."""
    found = map_one(host, steps)
    shown, before = host.show, files.read('/sys/class/block/rbd0/size')

    def show(made: ceph.Map) -> None:
        shown(made)
        host.tree.value('/sys/devices/rbd/0/block/rbd0/size', before)
        if has_gone:
            host.tree.remove('/sys/bus/rbd/devices/0')

    host.show = show  # type: ignore[method-assign]
    host.clusters[0].images['rbd', '', 'v1'].size = 1 << 30
    error = exception.VolumePathsNotFound if has_gone else exception.OperationTimedOut
    with pytest.raises(error, match='rbd0'):
        krbd.grow(found, soon())


def test_monitors_of_this_host(host: ceph.RbdHost) -> None:
    assert krbd.monitors_of_host('ceph') == ()
    host.tree.file('/etc/ceph/ceph.conf', '[global]\nmon host = 10.0.0.1, [fd00::1]\n')
    assert [str(each) for each in krbd.monitors_of_host('ceph')] == [
        '10.0.0.1:6789',
        '[fd00::1]:6789',
    ]
